"""The front controller: takes orders, owns the state of each one's workflow, and says what is to be done next."""
