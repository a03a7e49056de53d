"""Messages of data channels as the test writes and reads them: {"text"} or {"hex"}, and the channel that
brings the transport. messages.js is the same for the clients in JavaScript. Holds no state.
"""

# It carries nothing.
EVENTS = {"location": "remote", "dataChannelName": "server-events"}


def made(message):
    """What a channel sends for a message: text or bytes."""
    return message["text"] if "text" in message else bytes.fromhex(message["hex"])


def told(data):
    """The message that a channel brought."""
    return {"text": data} if isinstance(data, str) else {"hex": bytes(data).hex()}


def taken(hearing):
    """What lists of messages hold; they are empty then."""
    taken = [list(heard) for heard in hearing]
    for heard, those in zip(hearing, taken):
        # Another thread may have added more.
        del heard[: len(those)]
    return taken
