"""Servers and processes on this machine: started, kept running, frozen, killed and ended by one component."""

from order_service.cli.stack.installation import process_of, processes_of_all
from order_service.cli.stack.network import Conduct, Line, Network
from order_service.cli.stack.nginx import Nginx
from order_service.cli.stack.ports import free_port, free_ports, holder, is_free, listener
from order_service.cli.stack.postgresql import UNSAFE, Missing, PostgreSQL
from order_service.cli.stack.processes import Program, kill, spawn, tree
from order_service.cli.stack.rabbitmq import RabbitMQServer, answers
from order_service.cli.stack.servers import Servers
from order_service.cli.stack.supervisor import NotReady, Say, Stack, State

__all__ = [
    "UNSAFE",
    "Conduct",
    "Line",
    "Missing",
    "Network",
    "Nginx",
    "NotReady",
    "PostgreSQL",
    "Program",
    "RabbitMQServer",
    "Say",
    "Servers",
    "Stack",
    "State",
    "answers",
    "free_port",
    "free_ports",
    "holder",
    "is_free",
    "kill",
    "listener",
    "process_of",
    "processes_of_all",
    "spawn",
    "tree",
]
