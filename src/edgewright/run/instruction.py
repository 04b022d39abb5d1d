"""Instructions as a disassembler writes them: their class, and the registers that they read and write."""

from __future__ import annotations

import re
from functools import cached_property
from typing import Literal

Kind = Literal[
    "branch", "load", "store", "load multiple", "store multiple", "load double", "store double", "divide", "if then", "float divide",
    "float multiply accumulate", "float", "vector load", "vector store", "vector multiply", "vector", "loop end", "multiply",
    "multiply accumulate", "multiply long", "multiply long accumulate", "simd", "other",
]  # fmt: skip
_CONDITIONS = "eq|ne|cs|hs|cc|lo|mi|pl|vs|vc|hi|ls|ge|lt|gt|le|al"
_LINES: tuple[tuple[Kind, str], ...] = (
    ("branch", rf"(b|bl|blx|bx)({_CONDITIONS})?|cbn?z|tb[bh]|b(eq|ne|lt|ge|le|gt)z|b(lt|ge|gt|le)u|j|jal|jalr|jr|ret|call|tail"),
    ("loop end", "le(tp)?"),
    ("load", rf"(ldr(s?[bh])?t?|ldrex[bh]?)({_CONDITIONS})?|vldr|l[bhw]u?"),
    ("store", rf"(str[bh]?t?|strex[bh]?)({_CONDITIONS})?|vstr|s[bhw]"),
    ("load multiple", rf"(pop|ldm(ia|db|fd)?|vldm(ia|db)?|vpop)({_CONDITIONS})?"),
    ("store multiple", rf"(push|stm(ia|db|fd)?|vstm(ia|db)?|vpush)({_CONDITIONS})?"),
    ("load double", rf"ldrd({_CONDITIONS})?"),
    ("store double", rf"strd({_CONDITIONS})?"),
    ("divide", rf"[su]div({_CONDITIONS})?|(div|rem)u?"),
    ("if then", "it[te]{0,3}|vpst[te]{0,3}"),
    ("vector load", r"vldr[bhw]t?\..*|vld[24]\d\..*"),
    ("vector store", r"vstr[bhw]t?\..*|vst[24]\d\..*"),
    ("float divide", r"v(div|sqrt).*"),
    ("float multiply accumulate", r"v(n?ml[as]|fn?m[as])\.f.*"),
    ("float", r"v.*\.f\d+(\.[su]?\d+)?|vmrs|vmsr"),
    ("vector multiply", r"vq?r?d?ml.*|vq?r?d?mul.*"),
    ("vector", "v.*"),
    ("multiply long accumulate", r"[su]mlal.*|umaal.*"),
    ("multiply long", r"[su]mull.*|mulhs?u?|smm.*"),
    ("multiply accumulate", r"ml[as]s?.*|smla.*|smls.*"),
    ("multiply", r"muls?.*|smu[als].*"),
    ("simd", r"[suq]h?(add|sub)(8|16).*|[su]xta?b16.*|pkh.*|usada?8.*|q(d?add|d?sub).*|[su]sat.*|sel.*"),
)
_KINDS = tuple((kind, re.compile(f"(?:{pattern})$")) for kind, pattern in _LINES)
_REGISTER = re.compile(r"\b(r\d+|[sdq]\d+|sb|sl|fp|ip|sp|lr|pc)\b")
_NAMED = {"sb": "r9", "sl": "r10", "fp": "r11", "ip": "r12", "sp": "r13", "lr": "r14", "pc": "r15"}
_WRITES_NOTHING = re.compile(r"cmp|cmn|tst|teq|vcmp|vctp|vmsr|str|stm|push|vst|nop|dls|wls")
_WRITES_TWO = re.compile(r"ldrd|[su]mull|[su]mlal|asrl|lsll|lsrl|umaal")
_MOVES = re.compile(r"mov|mvn|[su]xt|ldr|vldr|vmov|vdup|vmrs|clz|rbit|rev|neg|rsb|adr|vmvn|vneg|vabs|vlda|vrev|vclz")
_KEEPS_TARGET = re.compile(
    r"vm[ul]?la|vfma|vadd[lv]*va|vmlal|vq?r?movn|vq?r?shrn|vsli|vsri|movt|bfi|bfc|vqr?dml|vmovn|[su]mlal|umaal|asrl|lsll|lsrl"
)
_EARLY = re.compile(r"\b(r\d+|sb|sl|fp|ip|lr), (asr|lsr|ror|rrx|lsl)\b")
_SPREAD = re.compile(r"\[.*\bq\d")
_VECTOR_BYTES = 16


class Instruction:
    """One line of the disassembly."""

    def __init__(self, address: int, mnemonic: str, operands: str) -> None:
        self.address, self.mnemonic, self.operands = address, mnemonic, operands

    @cached_property
    def kind(self) -> Kind:
        return next((kind for kind, pattern in _KINDS if pattern.match(self.mnemonic)), "other")

    @property
    def loads_program_counter(self) -> bool:
        if self.kind == "load multiple":
            return bool(re.search(r"\bpc\b", self.operands))
        return self.kind == "load" and self.operands.startswith("pc")

    @property
    def changes_flow(self) -> bool:
        """Whether another instruction than the next may follow."""
        return self.kind in ("branch", "loop end") or self.loads_program_counter

    @property
    def calls(self) -> bool:
        return self.mnemonic in ("bl", "blx", "jal", "jalr", "call")

    @property
    def always_jumps(self) -> bool:
        return self.mnemonic in ("b", "bx", "j", "jr", "ret", "tail", "tbb", "tbh")

    @cached_property
    def registers(self) -> list[str]:
        """Those of a list in braces."""
        listed = re.search(r"\{(.*)\}", self.operands)
        if listed is None:
            return _named(self.operands)[:1]
        found = []
        for part in listed[1].split(","):
            names = _named(part)
            first, last = int(names[0][1:]), int(names[-1][1:])
            found += [f"{names[0][0]}{number}" for number in range(first, last + 1)]
        return found

    @cached_property
    def written(self) -> frozenset[str]:
        if self.kind == "load multiple":
            return frozenset(self.registers)
        if self.kind in ("branch", "loop end", "if then") or _WRITES_NOTHING.match(self.mnemonic):
            return frozenset()
        return frozenset(_named(self.operands)[: 2 if _WRITES_TWO.match(self.mnemonic) else 1])

    @cached_property
    def accumulated(self) -> frozenset[str]:
        """Registers that a product or a sum is added to: they are read last."""
        if self.kind in ("vector multiply", "multiply long accumulate") or self.mnemonic.startswith(("vaddv", "vaddlv")):
            return self.written if _KEEPS_TARGET.match(self.mnemonic) else frozenset()
        return frozenset(_named(self.operands)[3:4]) if self.kind == "multiply accumulate" else frozenset()

    @cached_property
    def read(self) -> frozenset[str]:
        """Registers whose values must be there when it issues."""
        if self.kind == "store multiple":
            return frozenset([*self.registers, *_named(self.operands.partition("{")[0])])
        if self.kind == "load multiple":
            return frozenset(_named(self.operands.partition("{")[0]))
        names = _named(self.operands)
        skipped = 0 if not self.written else 2 if _WRITES_TWO.match(self.mnemonic) else 1
        kept = self.operands.count(",") == 1 and self.kind not in ("load", "vector load") and not _MOVES.match(self.mnemonic)
        both = kept or bool(_KEEPS_TARGET.match(self.mnemonic))
        return frozenset(names[0 if both else skipped :]) - self.accumulated

    @cached_property
    def shifted(self) -> tuple[str, str] | None:
        """The operand that is shifted on its way, and how; addresses aside."""
        if "[" in self.operands:
            return None
        found = _EARLY.search(self.operands)
        return None if found is None else (_NAMED.get(found[1], found[1]), found[2])

    @property
    def uses_shifter(self) -> bool:
        return self.shifted is not None or bool(re.match(r"[su]xt|ubfx|sbfx|bf[ic]|(lsl|lsr|asr|ror)(?!l)", self.mnemonic))

    @property
    def spread(self) -> int:
        """Elements that a vector load or store takes from addresses in a vector; 0 where they lie side by side."""
        if not _SPREAD.search(self.operands):
            return 0
        width = re.search(r"\.[su]?(\d+)", self.mnemonic)
        return _VECTOR_BYTES * 8 // int(width[1]) if width else 4


def _named(operands: str) -> list[str]:
    return [_NAMED.get(name, name) for name in _REGISTER.findall(operands)]
