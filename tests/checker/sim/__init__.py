"""A whole deployment in one thread and virtual time: the real services over fakes of the stores, from one seed."""
