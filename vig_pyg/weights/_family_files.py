"""Files of published weights of MobileViG, GreedyViG and MobileViGv2, and the pages of all four later families."""

from __future__ import annotations

from typing import NamedTuple

_HUB = "https://huggingface.co/SLDGroup"
_CODE = "https://github.com/SLDGroup"


class FamilyFile(NamedTuple):
    """A file whose name is known. `sha256` is empty if no hash was published; then `megabytes` is compared."""

    family: str
    file: str
    megabytes: float
    sha256: str
    top1: float | None
    params: float
    gmacs: float

    @property
    def url(self) -> str:
        return f"{_HUB}/{self.family}/resolve/main/{self.file}"

    @property
    def code(self) -> str:
        return f"{_CODE}/{self.family}"


# The megabytes are those that the pages show, so they are rounded. A file has the parameters twice: `state_dict`, with
# which the authors evaluate, and `state_dict_ema`, with which they start detectors and segmentation networks.
FILES: dict[str, FamilyFile] = {
    "greedyvig_small": FamilyFile("GreedyViG", "S_GreedyViG_81_1.pth", 96.8, "", 81.1, 11.214, 1.581),
    "greedyvig_medium": FamilyFile("GreedyViG", "M_GreedyViG_82_9.pth", 177, "", 82.9, 21.159, 3.114),
    "greedyvig_base": FamilyFile("GreedyViG", "B_GreedyViG_83_9.pth", 249, "", 83.9, 30.136, 5.060),
    "mobilevig_small": FamilyFile("MobileViG", "MobileViG_S_78_2.pth.tar", 0, "", 78.2, 6.764, 0.984),
    "mobilevigv2_small": FamilyFile(
        "MobileViGv2",
        "MobileViG_V2_S_Class.pth",
        63.2,
        "1fb04586582a9d89b6d6f75c6e4b1cf5116d5fa05078e15cda14a7aeb4636ee0",
        None,
        7.255,
        0.912,
    ),
    "mobilevigv2_medium": FamilyFile(
        "MobileViGv2",
        "MobileViG_V2_M_Class.pth",
        125,
        "7372bfc5e4cfb1d0cf359827c5f3cd6882baa05e0bde08ef6a5321e2054f46ef",
        None,
        14.959,
        1.619,
    ),
    "mobilevigv2_base": FamilyFile(
        "MobileViGv2",
        "MobileViG_V2_B_Class.pth",
        225,
        "5690cc426fb2b07f0a1c72c64eb75bf9faf20654e9257090b72d8858e3659078",
        83.4,
        27.110,
        3.558,
    ),
}
#: Pages on which the authors publish the weights of a family, by the first part of the names of its models.
PAGES = {
    "greedyvig": f"{_HUB}/GreedyViG/tree/main",
    "mobilevig": f"{_HUB}/MobileViG/tree/main",
    "mobilevigv2": f"{_HUB}/MobileViGv2/tree/main",
    "wignet": "https://drive.google.com/file/d/11bDJaiYxCIwG2OxapIJSkQZys38wDI4S/view",
}
