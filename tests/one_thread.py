"""What the played devices share."""

from concurrent.futures import Future


class InThisThread:
    """An executor without threads: the modes that play a device are of one thread."""

    def __init__(self, *_):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def submit(self, function, *args):
        found = Future()
        found.set_result(function(*args))
        return found
