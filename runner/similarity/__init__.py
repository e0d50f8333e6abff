"""Similarity: is one picture a copy of another, or do they only look alike?

`fingerprint` keeps what later comparisons need, so that the picture itself is not needed again;
equal or near `hashes` make two pictures candidates; `rank` puts many candidates into order;
`compare` decides.
"""

from runner.similarity.compare import Comparison, Verdict, compare
from runner.similarity.fingerprint import ALGORITHM, VERSION, Fingerprint, fingerprint
from runner.similarity.hashes import RADIUS, distance, nearest
from runner.similarity.rank import rank
from runner.similarity.regions import Region

__all__ = [
    "ALGORITHM",
    "RADIUS",
    "VERSION",
    "Comparison",
    "Fingerprint",
    "Region",
    "Verdict",
    "compare",
    "distance",
    "fingerprint",
    "nearest",
    "rank",
]
