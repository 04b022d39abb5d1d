"""English prose out of Debian packages: fortunes, dictionaries, documentation, commentaries, games that tell a story."""

from __future__ import annotations

import fnmatch
import gzip
import html
import io
import re
import subprocess
import tarfile
import zlib
from collections.abc import Callable, Iterator

from benchmarks.fetch import Package, fetch
from edgewright.errors import ToolError

DEBIAN = {
    "anarchism": ("15.3-3", "cf21c10948b00e923c62eb31c39a3390413fa26c5ee0e3b925feb0ec7fe42948"),
    "aptitude-doc-en": ("0.8.13-5", "ba4864ca26464bbe06acd94dc4a79402eea5d7b2d3da943d6ecce3c752bc9e84"),
    "c++-annotations-html": ("12.2.0-2", "17cdff3d44c3d6261af9e1339b4afc9b80cd085a0f7ee45489b3c4b6213e4ca9"),
    "crawl-common": ("2:0.28.0-1.1", "50c8f0091ba88538dde6585e5eddba02677bfe94d3ee4dc90a5bd3a788650f59"),
    "debian-faq": ("11.1", "427426e0cfa6888622fc1d72631071cb4b5a1f86ccde722e7820bcef284de5d0"),
    "debian-handbook": ("11.20220922", "3d5dbeac1f1afc9c094eab9d0f701f6ecff99c4927d5a4794cf6c85678134faa"),
    "debian-history": ("2.28", "ae364cdfd075bf6a08ca8f5105b44db7093e3b201c95d3b70a863b8849c6a082"),
    "debian-policy": ("4.6.2.0", "ef9d01b625c3b87c3a845c2cd1b66f1a16e9240b2b9e5bee53472a00e8457a39"),
    "debian-reference-en": ("2.100", "9f31d3a17df505de09689ca255512ea58c1fc47c59bb1b0c7bf1c23362e9743f"),
    "developers-reference": ("12.18", "0dba82f6fa16e373f2a84ad07e7971aa9264ad2e7d2ae46b37edbc9c5fd57e2e"),
    "dict-devil": ("1.0-13.1", "6a535684def2a1f70cd42da16d12d43f0e9dc3e54e4a329178eebab3170e3154"),
    "dict-foldoc": ("20230119-1", "745cbedb55c2da609cc88ee0284e9d11a67a11ae3709daf7bad0e895ac3294c3"),
    "dict-gcide": ("0.48.5+nmu2", "7b0af5cfde3cbdef5e9d6e78f92ec335ced7c2790f37a40f49bebc6f7347ac0f"),
    "dict-jargon": ("4.4.7-3.1", "405f8168d7994ed2cb71407bb95493daec2e9aa66fc0461dafa74a9d6728a8c1"),
    "endless-sky-data": ("0.9.8-1.2", "e45835e05a11e84bb1a890a0ded390246a53b8318f21a25925aa70fa54f80c13"),
    "fortunes": ("1:1.99.1-7.3", "41d0551dc0ff52f875a2ecef7c39da2f672ab468c37e170119f7e0245a9d63c5"),
    "gnome-user-docs": ("43.0-2", "0d635a840747958ca84da778b40d341f1155603851f922c9a171f5a181d6a39f"),
    "gnu-standards": ("2022.03.23-0.1", "2087dda531c69d8505856a45e0334746f3f25211a237c95d375eed13a7d8c201"),
    "harden-doc": ("3.19+nmu1", "77ffacb6f8af4afbdf39f3de6040a710ae6ffcc40e2fab5b5d312dfb11d28d94"),
    "installation-guide-amd64": ("20230508+deb12u1", "812c43e1dc906daf671e3efe953dc023205c238e5bd5a3021ce4ca142793573a"),
    "manpages": ("6.03-2", "efa1ba4cd19ad7baeae959c9209a7eb74be2ebb858bcabb412597bfc9f588c91"),
    "sword-comm-mhcc": ("2.0-1", "06f748215de78ff48fdfdee93e3ffc5af6318b976485f7aedf22309236967e35"),
    "sword-comm-tdavid": ("2.1-1", "bcbfad701c5c4a061475b58309cebc42755a59e87478c8355227c5e046412b3f"),
    "sword-text-web": ("426.0-1", "930b23670b352f0829a306501de4bebb5e654a2df02cde2cbe86b802177868e1"),
    "wesnoth-1.16-did": ("1:1.16.9-1", "774619f5aaeb7eb4c848e1cc1758795a8c58e96bd270cceecc9d847dbcc769b3"),
    "wesnoth-1.16-dm": ("1:1.16.9-1", "1997ad4d91e8de36415db2a3445904288f588a76d75111222d2aace409ace5c6"),
    "wesnoth-1.16-dw": ("1:1.16.9-1", "47982e08b2a5d5fd79f400a5453f32c6d7dd56f2ccc10412a9e47dec8a9b3ca4"),
    "wesnoth-1.16-ei": ("1:1.16.9-1", "687abe111ee662b7324336ddadc209758f68d2eeb1ccbf630238f27a0e3c6404"),
    "wesnoth-1.16-httt": ("1:1.16.9-1", "05b16a3f8f8204278794aae14d8e6a7c95d2b2faef7337c4997c827a146d1bbd"),
    "wesnoth-1.16-l": ("1:1.16.9-1", "5383c79046df6121929bc36a8ec3f970ab4cf9c1239ed9b31868201c27f4266d"),
    "wesnoth-1.16-low": ("1:1.16.9-1", "2f304551b97b7fb76a2adb5ad8ffcac3e78476bc8ade17532c90714065c9bf9f"),
    "wesnoth-1.16-nr": ("1:1.16.9-1", "13edcf1bdd23708f531ba81c67100c5800363a119f10155c7f9e146fe7dced34"),
    "wesnoth-1.16-sof": ("1:1.16.9-1", "b6f1ddffdbd1a977f3965dae944e4fb11c147627471f1cfc71c92d1e69efb555"),
    "wesnoth-1.16-sota": ("1:1.16.9-1", "fa44304ff53d259f3c5fe13c03cb8166e55e9c307807d1a5663048c396645ba6"),
    "wesnoth-1.16-sotbe": ("1:1.16.9-1", "877a2f4a7fd8df54fd3b4561ffbd5fa95d0390d7c7372f3cb66367c8007918cb"),
    "wesnoth-1.16-thot": ("1:1.16.9-1", "79d9ec6e43300ea9f41295ccf3fb451e8eeaefc17007123f65d77eb05cb88695"),
    "wesnoth-1.16-trow": ("1:1.16.9-1", "b5009e964ac7157a46d50de911e4f56f5bb4389d60b82a513b5f382671d180d7"),
    "wesnoth-1.16-tsg": ("1:1.16.9-1", "38b5f564253b8e0d9c093b2b7c58aabfef24f688968d9cbaf42abfc1e76d8288"),
    "wesnoth-1.16-ttb": ("1:1.16.9-1", "d0d45693665305191488553ade8dc1d0aa26ab17d4bffae3bf6969db4a766329"),
    "wesnoth-1.16-utbs": ("1:1.16.9-1", "81e05717bebbfb6348c0bed2cd6ce2560c4fd9205ed419c2e7bc039b4a70e228"),
    "wordnet-base": ("1:3.0-37", "61060d960f9ada8fa120872312eccd3ecebfbab8c4579e4f5a74e1cf67620752"),
}
"""Package → (version, SHA-256)."""
Prose = Callable[[str], str]
SHORTEST = 4
"""Words of a sentence, or of a part of one."""
CLAUSES = re.compile(r"(?<=[,;:])\s+|\s*--+\s*|\s*\u2014\s*")
ENDS = re.compile(r"(?<=[.!?])[\"')\]]*\s+(?=[\"'(]*[A-Z])")


def texts() -> Iterator[tuple[str, str]]:
    """(package/file, text) of every file with prose in it, its paragraphs parted by empty lines; WordNet's files are one."""
    for package, (version, digest) in sorted(DEBIAN.items()):
        path = fetch(Package("debian", package, version, f"{package}_{version.replace(':', '%3a')}_all.deb", digest))
        try:
            done = subprocess.run(["dpkg-deb", "--fsys-tarfile", str(path)], check=True, capture_output=True)
        except FileNotFoundError as error:
            raise ToolError("the sentences come in Debian packages, but dpkg-deb is not installed", hint="install dpkg") from error
        joined: dict[str, list[str]] = {}
        with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
            for member in sorted(archive.getmembers(), key=lambda entry: entry.name):
                read = reader(member.name)
                held = archive.extractfile(member) if read is not None and member.isfile() else None
                if read is not None and held is not None:
                    plain = _unpacked(member.name, held.read())
                    name = member.name.rsplit("/", 1)[-1].removesuffix(".gz")
                    joined.setdefault("glosses" if read is _glosses else name, []).append(read(plain.decode("utf-8", "replace")))
        for name, found in joined.items():
            yield f"{package}/{name}", "\n\n".join(found)


def reader(path: str) -> Prose | None:
    """What makes prose, its paragraphs parted by empty lines, of the text of a file; None where it holds none."""
    return next((read for pattern, read in FILES.items() if fnmatch.fnmatchcase(path, pattern)), None)


def cut(text: str) -> Iterator[str]:
    """The sentences of running text, of SHORTEST words at least, mostly letters."""
    for paragraph in re.split(r"\n\s*\n", text):
        for piece in ENDS.split(re.sub(r"\s+", " ", paragraph)):
            sentence = piece.strip(" -*_#|")
            letters = sum(letter.isascii() and (letter.isalpha() or letter == " ") for letter in sentence)
            if len(sentence.split()) >= SHORTEST and letters >= 0.85 * len(sentence):
                yield sentence


def clauses(sentence: str, words: int) -> Iterator[str]:
    """A long sentence in parts that end where a clause does: of SHORTEST words at least, of more than ``words`` only where a clause is."""
    parts: list[list[str]] = [[]]
    for clause in CLAUSES.split(sentence):
        own = clause.split()
        if len(parts[-1]) + len(own) > words:
            parts.append([])
        parts[-1] += own
    return (" ".join(part) for part in parts if len(part) >= SHORTEST)


def _unpacked(name: str, data: bytes) -> bytes:
    if name.endswith((".gz", ".dz")):
        return gzip.decompress(data)
    return inflated(data) if name.endswith("zz") else data


def inflated(data: bytes) -> bytes:
    """What zlib streams hold that stand behind one another, whatever stands between them (the modules of SWORD)."""
    found, start = [], data.find(b"x")
    while start >= 0:
        stream = zlib.decompressobj()
        try:
            found.append(stream.decompress(data[start:]))
        except zlib.error:
            start = data.find(b"x", start + 1)
        else:
            start = data.find(b"x", len(data) - len(stream.unused_data))
    return b"".join(found)


def _plain(text: str) -> str:
    return text


def _fortunes(text: str) -> str:
    return re.sub(r"\n\s*-- .*|\n%+\n", "\n\n", text)


def _dictionary(text: str) -> str:
    """Definitions without what is in tags, braces and brackets; what is numbered stands alone."""
    text = re.sub(r"(?m)^\s*(\d+\.|\([a-z]\)|Syn:|Note:|[A-Z][\w*\"`-]+ \\.*\]?$)", "\n\n", text)
    text = re.sub(r"\[1913 Webster\]|\[WordNet 1\.5\]|\[PJC\]", "\n\n", text)
    return re.sub(r"<[^>]*>|\[[^\]]*\]|[{}]|\([\d-]+\)|--[A-Z][\w. ]+", " ", text)


def _markup(text: str) -> str:
    """HTML and Mallard: a block is a paragraph, code is left out."""
    text = re.sub(r"(?is)<(script|style|pre|code|screen)\b.*?</\1>", " ", text)
    return html.unescape(re.sub(r"<[^>]*>", " ", re.sub(r"(?i)</(p|h\d|li|dd|dt|td|title)>", "\n\n", text)))


def _manual(text: str) -> str:
    """Pages for man: requests end a paragraph but for those that only choose a font."""
    text = re.sub(r"(?m)^\.(B|I|BR|IR|RB|RI|BI|IB)\b", "", re.sub(r"(?s)\n\.(nf|EX)\b.*?\n\.(fi|EE)\b", "\n\n", text))
    return re.sub(r"\\f.|\\[&|c]|\\\(..|\\", "", re.sub(r"(?m)^[.'].*$", "\n", text)).replace('"', "")


def _scripture(text: str) -> str:
    """OSIS, without the references: a paragraph ends where one begins or a title stands."""
    text = re.sub(r"(?is)<(reference|note|title)\b.*?</\1>", " ", text)
    return html.unescape(re.sub(r"<[^>]*>", "", re.sub(r"<(div|p|l|lg|item)\b[^>]*>", _paragraph, text)))


def _paragraph(tag: re.Match[str]) -> str:
    return " " if "x-milestone" in tag[0] else "\n\n"


def _story(text: str) -> str:
    """What the campaigns of Wesnoth have for translators."""
    return "\n\n".join(re.sub(r"<[^>]*>", " ", part) for part in re.findall(r'_ *"([^"]*)"', text))


def _talk(text: str) -> str:
    """What Endless Sky says between back-quotes."""
    return "\n\n".join(re.sub(r"<[^>]*>", "one", part) for part in re.findall(r"`\s*([^`]*)`", text))


def _glosses(text: str) -> str:
    entries = re.findall(r"(?m)\| (.*)$", text)
    return "\n\n".join(re.sub(r";\s*\"", '\n\n"', entry).replace('"', "") for entry in entries)


FILES: dict[str, Prose | None] = {
    "*.dat": None,
    "*.u8": None,
    "*/games/fortunes/*": _fortunes,
    "*.dict.dz": _dictionary,
    "*/policy.txt.gz": _plain,
    "*/debian-faq.en.txt.gz": _plain,
    "*/wordnet/data.*": _glosses,
    "*/sword/modules/*/[on]t.[bc]zz": _scripture,
    "*/anarchism/html/*.html": _markup,
    "*/aptitude/html/en/*.html": _markup,
    "*/c++-annotations/html/cplusplus*.html": _markup,
    "*/crawl/dat/descript/*.txt": _fortunes,
    "*/crawl/dat/database/*.txt": _fortunes,
    "*/debian-handbook/html/en-US/*.html": _markup,
    "*/project-history.en.txt.gz": _plain,
    "*/debian-reference/*.en.html": _markup,
    "*/developers-reference/*.html": _markup,
    "*/endless-sky/data/*.txt": _talk,
    "*/help/C/gnome-help/*.page": _markup,
    "*/gnu-standards/*.html": _markup,
    "*/harden-doc/html/en-US/*.html": _markup,
    "*/installation-guide-amd64/en/*.html": _markup,
    "*/man[57]/*.gz": _manual,
    "*/data/campaigns/*.cfg": _story,
}
"""Pattern of a path → how to read it; the first that fits counts."""
