"""Shows and clears the shared disk cache.

    python -m resnet_tl.cache                       shows it
    python -m resnet_tl.cache clear=features        removes one kind: features, data, sent,
                                                    pretrained, synthetic, runs, archives; or all
    python -m resnet_tl.cache limit_gb=5            removes the least recently used until no more than that is left
    python -m resnet_tl.cache cache=FOLDER …        another folder than the user's cache

What a running study uses stays. See `resnet_tl.data.cache`.
"""

import time
from collections.abc import Sequence

from resnet_tl.command import command
from resnet_tl.data.cache import KINDS, default_cache, entries, make_room, remove
from resnet_tl.errors import ConfigError
from resnet_tl.option_text import expand, nearest, parse_words


@command()
def main(words: Sequence[str]) -> int:
    """`python -m resnet_tl.cache`."""
    values = parse_words(words, literal=("cache",))
    problems = [
        f"`{key}` is not an option; {nearest(key, ['cache', 'clear', 'limit_gb'])}"
        for key in values
        if key not in ("cache", "clear", "limit_gb")
    ]
    kind, limit = values.get("clear"), values.get("limit_gb")
    if kind is not None and kind not in (*KINDS, "all"):
        problems.append(f"`clear` must be one of {', '.join(KINDS)}, all, but got {kind}.")
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int | float) or limit < 0):
        problems.append(f"`limit_gb` must be a number from 0 on, but got {limit}.")
    if problems:
        raise ConfigError(*problems)
    cache = expand(values["cache"], "cache").absolute() if "cache" in values else default_cache()
    if kind is not None:
        for entry in entries(cache):
            if kind in (entry.kind, "all") and not remove(entry):
                print(f"{entry.path} is in use and stays")
    if limit is not None:
        make_room(cache, float(limit))
    there = entries(cache)
    for entry in there:
        age = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.used))
        note = "  in use" if entry.in_use else ""
        print(f"{entry.num_bytes / 1e6:10,.1f} MB  {entry.kind:10}  used {age}  {entry.path.name}{note}")
    print(f"{sum(entry.num_bytes for entry in there) / 1e6:10,.1f} MB  in {cache}")
    return 0


if __name__ == "__main__":
    from resnet_tl.command import entry as run_entry  # `entry` is one of the cache here

    run_entry(main)
