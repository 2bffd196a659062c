"""Result files and logs as lines that can be compared."""
import json
from pathlib import Path

CLOCK = {"ms", "tokens_per_second", "mfu", "seconds"}


def without_clock(value):
    """Nor the digest of a record, which is over its times too."""
    if isinstance(value, dict):
        value = {key: item for key, item in value.items() if key != "digest" or "ms" not in value}
        return {key: without_clock(item) for key, item in value.items() if key not in CLOCK and not key.endswith("_ms")}
    return [without_clock(item) for item in value] if isinstance(value, list) else value


def rows(path):
    """Lines of a result file or a log, sorted: workers may answer in any order."""
    return sorted(json.dumps(without_clock(json.loads(line)), sort_keys=True) for line in Path(path).read_text().splitlines())
