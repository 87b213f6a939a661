"""The deciding core, pure: workflow.py is the workflow as data, decide.py the one function that decides."""
