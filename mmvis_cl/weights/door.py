"""From what stands where weights are wanted, a path, a name or an address, to a file."""

import difflib
import hashlib
import os
import re
import sys
from pathlib import Path

from mmvis_cl.errors import InputError, quoted, shortened

from .cache import notes_of, read_notes, sha256_of, weights_folder, write_notes
from .fetch import alone, fetch
from .known import KNOWN, KnownWeights
from .progress import FetchProgress

ADDRESSES = 'https://', 'http://', 'hf://'


def is_elsewhere(given: str | os.PathLike) -> bool:
    """Whether weights are given by a known name or by an address that we fetch."""
    text = os.fspath(given)
    return (text in KNOWN and not os.path.exists(text)) or text.startswith(ADDRESSES)


def config_of_name(given: str | os.PathLike | None) -> str | None:
    """The config that weights of a known name fit; None if they fit none, or have no name."""
    known = KNOWN.get(os.fspath(given)) if given is not None else None
    return None if known is None or os.path.exists(known.name) else known.config


def check_name(given: str, option: str = '') -> None:
    """Make sure that weights are a file, a known name or an address, before anything is loaded.

    Args:
        given: What the user gave.
        option: What the message begins with.

    Raises:
        InputError: They are none of these, or must be fetched by hand and were not.
    """
    if '://' in given or os.path.isfile(given):
        return
    known = KNOWN.get(given)
    if known is None:
        if os.sep in given or '.' in given:  # no name has one
            raise InputError(f'{option}{given}: there is no such checkpoint')
        near = difflib.get_close_matches(given, KNOWN, n=1, cutoff=0.75)
        guess = f'did you mean {near[0]}?' if near else 'mmvis-cl weights lists the names'
        raise InputError(
            f'{option}{given}: there is no such checkpoint, and no weights of this name; {guess}'
        )
    if known.source is None and not os.path.isfile(place_of(known)):
        raise InputError(by_hand(known))


def weights_file(given: str | os.PathLike) -> str:
    """The file of weights, which is fetched if it is not here yet.

    Args:
        given: A path; a name of ``mmvis-cl weights``; ``https://...``, ``http://...``, or
            ``hf://OWNER/NAME/FILE`` for a file on the Hugging Face Hub.

    Returns:
        The path of a file; what was given where it is neither a known name nor such an address.

    Raises:
        InputError: It cannot be fetched, is another file than was wanted, or no weights.
    """
    text = os.fspath(given)
    if not is_elsewhere(text):
        return text
    if text.startswith('hf://'):
        return _from_hub(text)
    known = KNOWN.get(text)
    if known is None:
        name = re.sub(r'[^\w.-]', '_', os.path.basename(text.partition('?')[0])) or 'weights'
        # of one name there may be several
        own = hashlib.sha256(text.encode()).hexdigest()[:8]
        file = weights_folder() / 'by_address' / f'{own}-{name[-100:]}'
        known = KnownWeights(text, text, text, None, '', None)
    else:
        file = place_of(known)
    if not os.path.isfile(file):
        if known.source is None:
            raise InputError(by_hand(known))
        _fetch(known, file)
    _check_known(known, file)
    return str(file)


def place_of(known: KnownWeights) -> Path:
    """Where the file of known weights lies, or will."""
    ending = '.pkl' if (known.source or '').endswith('.pkl') else '.pth'
    return weights_folder() / f'{known.name}{ending}'


def by_hand(known: KnownWeights) -> str:
    """What to do where we cannot fetch a file."""
    return (
        f'{known.name}: has no address of its own; download it from {known.page} and put it at '
        f'{place_of(known)}'
    )


def _fetch(known: KnownWeights, file: Path) -> None:
    advice = f'download it from {known.page} elsewhere and put it at {file}'

    def waiting() -> None:
        print(f'{known.name}: another process fetches it; waiting', file=sys.stderr)

    with alone(file, waiting):
        if os.path.isfile(file):
            return
        with FetchProgress(known.name) as progress:
            digest = fetch(
                str(known.source), file, advice, known.size, known.sha256, progress.update
            )
        write_notes(file, str(known.source), digest)


def _check_known(known: KnownWeights, file: Path) -> None:
    """Record the hash of a file that was put there by hand; see that its size is as it was."""
    notes, size = read_notes(file), file.stat().st_size
    if not notes:
        digest = sha256_of(file)
        if known.sha256 is not None and digest != known.sha256:
            raise InputError(
                f'{file}: is not {known.name} (SHA-256 {digest[:12]}..., not '
                f'{known.sha256[:12]}...); remove it, and it is fetched again'
            )
        if os.access(file.parent, os.W_OK):
            write_notes(file, 'by hand', digest)
    elif notes.get('size') != size:
        raise InputError(
            f'{file}: has {size} bytes, {notes.get("size")} when it was fetched; remove it and '
            f'{notes_of(file).name}, and it is fetched again'
        )


def _from_hub(address: str) -> str:
    """A file of the Hugging Face Hub, by its own cache, which checks what it fetches."""
    parts = address.removeprefix('hf://').split('/')
    if len(parts) < 3 or not all(parts):
        raise InputError(f'{address}: is not hf://OWNER/NAME/FILE; write it so')
    from huggingface_hub import hf_hub_download

    try:
        return hf_hub_download(
            '/'.join(parts[:2]),
            '/'.join(parts[2:]),
            cache_dir=weights_folder() / 'hub',
            endpoint=os.environ.get('HF_ENDPOINT'),
        )
    except Exception as error:  # of HTTP, sockets, the Hub, the file system
        raise InputError(
            f'{quoted(address)}: cannot be fetched ({type(error).__name__}: '
            f'{shortened(error, 150)}); correct the name, or download the file elsewhere and give '
            'its path'
        ) from error
