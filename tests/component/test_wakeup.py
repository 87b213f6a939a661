"""Wake-up calls between processes: who only listens is in nobody's way, and hears every commit."""

import threading
from collections.abc import Callable

from sqlalchemy import text

from shared.database import Database
from shared.wakeup import WakeUp


def test_a_listener_hears_a_commit_of_another_process_and_holds_no_lock(new_database: Callable[[], str]) -> None:
    """While one process listens, another one writes at once, rings, and is heard; twice."""
    url = new_database()
    listening, writing = Database(url), Database(url)
    heard = threading.Event()
    ear, bell = WakeUp(listening), WakeUp(writing)
    ear.listen(heard.set)
    with writing.transaction() as connection:
        connection.execute(text("CREATE TABLE lamps (number INTEGER)"))
    for _ in range(2):
        heard.clear()
        with writing.transaction() as connection:
            connection.execute(text("INSERT INTO lamps VALUES (1)"))
        bell.ring()
        assert heard.wait(10)
    for wakeup, database in ((ear, listening), (bell, writing)):
        wakeup.close()
        database.dispose()
