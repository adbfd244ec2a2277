"""What goes wrong with a gradient over several processes, as ports have it, and what must be said of each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """The body of a port's gradient, which of its blocks are off, and what is the cause of each."""

    body: str
    cause: str
    blocks: tuple[str, ...] = ("W", "w")
    ranks: int = 2


SUM = "for g in found.values():\n    dist.all_reduce(g)\n"
SHARE = "for g in found.values():\n    g *= len(data['y']) / 29\n"

MUTANTS = {
    "what DistributedDataParallel does with uneven blocks": Mutant(
        f"{SUM}return {{name: g / n for name, g in found.items()}}",
        "a mean of the ranks' means: they have 15 and 14 rows, and count alike",
    ),
    "means that are summed": Mutant(f"{SUM}return found", "the ranks' means are summed where they should be averaged"),
    "averaged once too often": Mutant(
        f"{SHARE}{SUM}return {{name: g / n for name, g in found.items()}}",
        "factor 1/2, one over the number of ranks: averaged over them once too often",
    ),
    "summed of what was whole": Mutant(
        f"{SHARE}{SUM}{SUM}return found", "factor 2, the number of ranks: summed over them once too often"
    ),
    "not reduced": Mutant("return found", "that of rows 0 to 14 alone, those of rank 0: not reduced"),
    "one block that is not reduced": Mutant(
        f"{SHARE}dist.all_reduce(found['W'])\nreturn found",
        "that of rows 0 to 14 alone, those of rank 0: not reduced",
        ("w",),
    ),
    "a rank without a share": Mutant(
        f"{SHARE}if dist.get_rank() == 1:\n    found = {{name: 0 * g for name, g in found.items()}}\n{SUM}return found",
        "without the share of rank 1: rows 15 to 28 are missing",
    ),
    "a rank with the rows of another": Mutant(
        "every = [None] * n\n"
        "dist.all_gather_object(every, data)\n"
        "if dist.get_rank() == 2:\n    found = own(params, every[0])\n"
        f"{SHARE}{SUM}return found",
        "as if rank 2 had the rows of rank 0: rows 0 to 9 count for rows 20 to 28",
        ranks=3,
    ),
    "a stale bucket": Mutant(
        f"{SHARE}global kept\n"
        "bucket = torch.cat([found[name].reshape(-1) for name in ('W', 'w')])\n"
        "kept, bucket = bucket, globals().get('kept', bucket)\n"
        "dist.all_reduce(bucket := bucket.clone())\n"
        "return {'W': bucket[:6].view(3, 2), 'w': bucket[6:]}",
        "that at the parameters of the call before: a stale bucket",
    ),
}
