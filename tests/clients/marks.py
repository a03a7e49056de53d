"""Marks in pictures and sound, for the clients written in Python; marks.js is the same for the others.

A picture carries 24 bits as black and white blocks in its upper half, 8 in a row, whatever its size:
8 bits of sender number, 12 bits of time (tenths of a second of the wall clock) and 4 of a check sum, so
that wrong routing, staleness and garbage are told from success. Sound is one tone, whose frequency
follows the sender's number. Called with planes of luma and with 16 bit samples; holds no state.
"""

import math
import time

COLUMNS = 8
ROWS = 3
TIMES = 1 << 12
BLACK, WHITE, GREY = 16, 235, 128


def now():
    """The time that a mark of this moment carries."""
    return int(time.time() * 10) % TIMES


def check(sender, moment):
    """XOR of the nibbles, and a pattern that neither black nor white passes."""
    nibbles = (sender, sender >> 4, moment, moment >> 4, moment >> 8)
    total = 0xA
    for nibble in nibbles:
        total ^= nibble & 15
    return total


def paint(luma, width, height, stride, sender):
    """Paints the mark of `sender` and of this moment into a plane of luma."""
    moment = now()
    bits = sender | moment << 8 | check(sender, moment) << 20
    block_width, block_height = width // COLUMNS, height // (2 * ROWS)
    for row in range(ROWS):
        line = bytearray()
        for column in range(COLUMNS):
            bit = bits >> (row * COLUMNS + column) & 1
            line += bytes([WHITE if bit else BLACK]) * block_width
        for y in range(row * block_height, (row + 1) * block_height):
            luma[y * stride : y * stride + len(line)] = line


def read(luma, width, height, stride):
    """Sender and age in milliseconds; None for a picture whose check sum is wrong."""
    bits = 0
    for row in range(ROWS):
        y = (2 * row + 1) * height // (4 * ROWS)
        for column in range(COLUMNS):
            x = (2 * column + 1) * width // (2 * COLUMNS)
            if luma[y * stride + x] > GREY:
                bits |= 1 << (row * COLUMNS + column)
    sender, moment = bits & 255, bits >> 8 & (TIMES - 1)
    if bits >> 20 != check(sender, moment):
        return None
    age = (now() - moment) % TIMES
    return {"sender": sender, "ageMs": 100 * (age - TIMES if age > TIMES // 2 else age)}


def hertz(sender):
    """The tone of a sender."""
    return 400 + 40 * sender


def tone(sender, start, count, rate):
    """`count` samples of a sender's tone, from sample `start` on."""
    step = 2 * math.pi * hertz(sender) / rate
    return [int(9000 * math.sin(step * (start + i))) for i in range(count)]


def frequency(samples, rate):
    """Frequency of a tone, by its upward crossings of zero; 0 for silence."""
    if not samples or max(samples) < 500:
        return 0
    ups = [i for i in range(1, len(samples)) if samples[i - 1] < 0 <= samples[i]]
    if len(ups) < 2:
        return 0
    return round((len(ups) - 1) * rate / (ups[-1] - ups[0]))
