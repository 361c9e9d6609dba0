"""Files broken in ways that people and programs break them; the same seed, the same file."""

import copy
import json
import random

ODD = (
    None, True, False, 0, -1, 1, 2**31, 2**63, -(2**63), 10**30, 0.5, 1e308, float('nan'),
    float('inf'), '', ' ', '1', '-1', 'a', '\0', '\ud800', 'é' * 3, '../../etc', '/etc/passwd',
    'x' * 5000, [], {}, [[]], [None], [1, 2], {'a': 1}, {'size': [1, 1], 'counts': '0'},
)  # fmt: skip


DEEP = 50  # a content that is nested more deeply gets no further changes


def mutate_bytes(data: bytes, rng: random.Random) -> bytes:
    """Flip, cut, double, drop or insert some bytes."""
    data = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        at = rng.randrange(len(data) + 1)
        end = min(len(data), at + rng.choice((1, 2, 8, 64, 512)))
        kind = rng.randrange(7)
        if kind == 0 and data:
            data[at - 1] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del data[at:]
        elif kind == 2:
            del data[at:end]
        elif kind == 3:
            data[at:at] = data[at:end]
        elif kind == 4:
            data[at:at] = rng.randbytes(rng.choice((1, 4, 100)))
        elif kind == 5:
            data[at:end] = bytes([rng.choice((0, 0x7F, 0xFF))]) * (end - at)
        else:
            other = rng.randrange(len(data) + 1)
            data[at:end] = data[other : other + end - at]
    return bytes(data)


def places(value: object, path: tuple = ()) -> list[tuple]:
    """The way to every value of a JSON content."""
    found = [path]
    if isinstance(value, (dict, list)):
        for key in value if isinstance(value, dict) else range(len(value)):
            found += places(value[key], (*path, key))
    return found


def depth(value: object) -> int:
    """Of lists and dicts in one another."""
    level, below = 0, [value]
    while below:
        level += 1
        below = [
            item
            for value in below
            if isinstance(value, (dict, list))
            for item in (value.values() if isinstance(value, dict) else value)
        ]
    return level


def mutate_json(content: object, rng: random.Random) -> object:
    """Put odd values into a content, drop or double keys and items, swap, nest."""
    content = copy.deepcopy(content)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        if depth(content) > DEEP:  # the readers shall meet it, not this program
            break
        path = rng.choice(places(content))
        if not path:
            if rng.random() < 0.05:
                return copy.deepcopy(rng.choice(ODD))
            continue
        parent = content
        for key in path[:-1]:
            parent = parent[key]
        key, kind = path[-1], rng.randrange(7)
        if kind == 0:
            del parent[key]
        elif kind == 1 and isinstance(parent, list):
            parent.insert(key, copy.deepcopy(parent[key]))
        elif kind == 2:
            other = content
            for step in rng.choice(places(content)):
                other = other[step]
            parent[key] = copy.deepcopy(other)
        elif kind == 3 and isinstance(parent[key], str):
            text = mutate_bytes(parent[key].encode(errors='surrogatepass'), rng)
            parent[key] = text.decode('latin1')
        elif kind == 4:
            for _ in range(rng.choice((1, 3, 400))):
                parent[key] = [parent[key]]
        elif kind == 5 and isinstance(parent, dict):
            parent[rng.choice(('', 'x', '\ud800', str(key) + ' '))] = parent.pop(key)
        else:
            parent[key] = copy.deepcopy(rng.choice(ODD))
    return content


def broken(name: str, data: bytes, rng: random.Random) -> bytes:
    """A file's content, broken; that of JSON mostly in its structure."""
    is_json = name.endswith('.json') and rng.random() < 0.8
    if is_json and depth(json.loads(data)) <= DEEP:
        text = json.dumps(mutate_json(json.loads(data), rng))
        return text.encode(errors='surrogatepass')
    return mutate_bytes(data, rng)
