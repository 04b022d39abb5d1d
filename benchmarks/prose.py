"""English prose out of Debian packages: fortunes, dictionaries, documentation, games that tell a story."""

from __future__ import annotations

import fnmatch
import gzip
import html
import io
import re
import subprocess
import tarfile
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
    "wesnoth-1.16-did": ("1:1.16.9-1", "774619f5aaeb7eb4c848e1cc1758795a8c58e96bd270cceecc9d847dbcc769b3"),
    "wesnoth-1.16-httt": ("1:1.16.9-1", "05b16a3f8f8204278794aae14d8e6a7c95d2b2faef7337c4997c827a146d1bbd"),
    "wesnoth-1.16-low": ("1:1.16.9-1", "2f304551b97b7fb76a2adb5ad8ffcac3e78476bc8ade17532c90714065c9bf9f"),
    "wesnoth-1.16-nr": ("1:1.16.9-1", "13edcf1bdd23708f531ba81c67100c5800363a119f10155c7f9e146fe7dced34"),
    "wesnoth-1.16-sof": ("1:1.16.9-1", "b6f1ddffdbd1a977f3965dae944e4fb11c147627471f1cfc71c92d1e69efb555"),
    "wesnoth-1.16-thot": ("1:1.16.9-1", "79d9ec6e43300ea9f41295ccf3fb451e8eeaefc17007123f65d77eb05cb88695"),
    "wesnoth-1.16-tsg": ("1:1.16.9-1", "38b5f564253b8e0d9c093b2b7c58aabfef24f688968d9cbaf42abfc1e76d8288"),
    "wesnoth-1.16-utbs": ("1:1.16.9-1", "81e05717bebbfb6348c0bed2cd6ce2560c4fd9205ed419c2e7bc039b4a70e228"),
    "wordnet-base": ("1:3.0-37", "61060d960f9ada8fa120872312eccd3ecebfbab8c4579e4f5a74e1cf67620752"),
}
"""Package → (version, SHA-256)."""
Prose = Callable[[str], str]
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
                    data = held.read()
                    plain = gzip.decompress(data) if member.name.endswith((".gz", ".dz")) else data
                    name = member.name.rsplit("/", 1)[-1].removesuffix(".gz")
                    joined.setdefault("glosses" if read is _glosses else name, []).append(read(plain.decode("utf-8", "replace")))
        for name, found in joined.items():
            yield f"{package}/{name}", "\n\n".join(found)


def reader(path: str) -> Prose | None:
    """What makes prose, its paragraphs parted by empty lines, of the text of a file; None where it holds none."""
    return next((read for pattern, read in FILES.items() if fnmatch.fnmatchcase(path, pattern)), None)


def cut(text: str) -> Iterator[str]:
    """The sentences of running text, of four words at least, mostly letters."""
    for paragraph in re.split(r"\n\s*\n", text):
        for piece in ENDS.split(re.sub(r"\s+", " ", paragraph)):
            sentence = piece.strip(" -*_#|")
            letters = sum(letter.isascii() and (letter.isalpha() or letter == " ") for letter in sentence)
            if len(sentence.split()) >= 4 and letters >= 0.85 * len(sentence):
                yield sentence


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
