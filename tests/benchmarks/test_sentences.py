"""Sentences out of packages, and how a student learns from a teacher's states."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import prose, sentence_states
from benchmarks.sentence_networks import Encoder, Shape
from benchmarks.sentence_states import PIECE, Batches, lesson, mean_states, refit
from benchmarks.sentence_student import Student, begun, summed
from benchmarks.sentences import TEST_FILES, VALIDATION_FILES, Sentences, _split

VOCABULARY, WIDTH, LENGTH = 60, 16, 8


def test_sentences_are_cut_where_they_end() -> None:
    text = "Here is the first\nof them. And 'here is' another one! Short one.\n\n  * A paragraph ends\n  a sentence\n\n0x12 == 34; 56 <> 78"
    assert [*prose.cut(text)] == ["Here is the first of them.", "And 'here is' another one!", "A paragraph ends a sentence"]


@pytest.mark.parametrize(
    ("path", "text", "wanted"),
    [
        ("./usr/share/games/fortunes/work", "One says this.\n\t\t-- Someone\n%\nTwo says that.\n", ["One says this.", "Two says that."]),
        ("./usr/share/help/C/gnome-help/a.page", "<p>A &amp; b</p><code>x = 1</code><p>Two</p>", ["A & b", "Two"]),
        (
            "./usr/share/man/man7/x.7.gz",
            ".TH X 7\nWords in\n.B bold\nand \\fIslanted\\fP.\n.PP\nMore.\n",
            ["Words in bold and slanted.", "More."],
        ),
        ("./w/data/campaigns/c/1.cfg", 'speaker=A\nmessage= _ "We <i>must</i> go."\nname=B\n', ["We must go."]),
        ("./usr/share/games/endless-sky/data/a.txt", "say `\tHello, <first>.`\n", ["Hello, one."]),
        (
            "./usr/share/sword/modules/comments/zcom/x/ot.bzz",
            '<div sID="a" type="x-p"/> One <w lemma="strong:G1">word</w><div type="x-milestone" subType="x-preverse" sID="b"/>more,'
            '<reference osisRef="Ge 1:1">Ge 1:1</reference> and on.<div eID="a" type="x-p"/><title>No</title>Two.',
            ["One word more, and on.", "Two."],
        ),
        ("./usr/share/wordnet/data.verb", '001 v | to go; "he went"\n', ["to go", "he went"]),
    ],
)
def test_prose_of_a_file(path: str, text: str, wanted: list[str]) -> None:
    read = prose.reader(path)
    assert read is not None
    assert [" ".join(part.split()) for part in read(text).split("\n\n") if part.strip()] == wanted


def test_long_sentences_are_parted_where_clauses_end() -> None:
    text = "When it rains, it pours; and then all of us are wet -- nobody, of course, had said so before."
    parts = ["When it rains, it pours;", "and then all of us are wet", "nobody, of course, had said so before."]
    assert [*prose.clauses(text, 7)] == parts
    assert [*prose.clauses(text, 99)] == [text.replace(" --", "")]
    assert [*prose.clauses("Yes, of course, and four words more", 2)] == ["and four words more"]


def test_streams_behind_one_another_are_inflated() -> None:
    blocks = [zlib.compress(text.encode()) for text in ("One x. ", "Two. ", "Three.")]
    assert prose.inflated(b"xx".join(blocks) + b"x\x9c") == b"One x. Two. Three."
    assert prose.inflated(b"") == b""


def test_what_is_no_prose_is_not_read() -> None:
    assert prose.reader("./usr/share/games/fortunes/work.dat") is None
    assert prose.reader("./usr/bin/fortune") is None


def test_training_alone_has_parts_of_long_sentences() -> None:
    """And no sentence of another split, nor a part of a sentence that is one."""
    words = [f"word{number}" for number in range(40)]
    long = " ".join(words[:20]) + ", " + " ".join(words[20:])
    names = (*TEST_FILES, *VALIDATION_FILES)
    files = {name: [f"Something is said in {name}.", long + " " + name] for name in names}
    files["fortunes/other"] = [long, f"Something is said in {names[0]}.", " ".join(words[20:]) + " and more"]
    files["fortunes/more"] = [" ".join(words[20:])]
    splits = _split(files)
    assert {split: len(found) for split, found in splits.items()} == {"test": 10, "validation": 6, "train": 4}
    assert sorted(splits["train"]) == sorted([long, long.split(", ")[0] + ",", " ".join(words[20:]), " ".join(words[20:]) + " and more"])


def test_tables_of_the_first_layer_give_the_same(part: Sentences) -> None:
    """Query, key and value looked up, and one sum of all, as in the layers that are trained."""
    network = _random(_student())
    ids, masks = torch.from_numpy(part.ids[:50]).long(), torch.from_numpy(part.masks[:50])
    found = network.eval().looked_up()(ids, masks)
    sums = network(ids, masks)
    assert sums.shape == (50, LENGTH // 2, WIDTH)
    torch.testing.assert_close(found, sums.sum(1), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(network.train()(ids, masks), sums, rtol=1e-4, atol=1e-5)


def test_shorter_batches_and_padding_change_nothing(part: Sentences) -> None:
    network = _random(_student())
    ids = torch.from_numpy(part.ids[part.masks.sum(1) == 5][:20]).long()
    masks = (ids > 0).float()
    whole, cut = network.eval()(ids, masks), network(ids[:, :5], masks[:, :5])
    assert not whole[:, 3:].any() and whole[:, 0].any()
    torch.testing.assert_close(whole[:, :3], cut, rtol=1e-4, atol=1e-5)


def test_a_student_begins_as_its_answers_and_the_layers_of_its_teacher(part: Sentences) -> None:
    torch.manual_seed(0)
    teacher, network = Encoder(Shape(VOCABULARY, WIDTH, 4, 24, 2), LENGTH), _student()
    ids, masks = torch.from_numpy(part.ids[:20]).long(), torch.from_numpy(part.masks[:20])
    begun(network, teacher, (0, 1), ids, masks)
    torch.testing.assert_close(network(ids, masks), summed(network.answers(ids)))
    assert not network.answers.weight[0].any()
    last, block = network.layers[1], teacher.blocks[1]
    torch.testing.assert_close(last.query.weight, block.query.weight)
    rows = {tuple(row.tolist()) for row in block.wide.weight}
    assert {tuple(row.tolist()) for row in last.wide.weight} < rows
    heads = teacher.blocks[0].value.weight.reshape(4, 4, WIDTH)
    assert all(any(torch.equal(own, head) for head in heads) for own in network.layers[0].value.weight.reshape(2, 4, WIDTH))


def test_shorter_batches_have_the_same_states(part: Sentences) -> None:
    torch.manual_seed(0)
    teacher = Encoder(Shape(VOCABULARY, WIDTH, 4, 24, 2), LENGTH)
    lengths = part.masks[:90].sum(1).astype(int)
    packed = sentence_states._ask(teacher, part.ids[:90], lengths)
    with torch.inference_mode():
        whole = teacher.states(torch.from_numpy(part.ids[:90]).long(), torch.from_numpy(part.masks[:90])).numpy()
    assert np.abs(packed - whole[part.masks[:90] > 0]).max() < 2e-2  # teachers are asked in bfloat16


def test_batches_go_through_all_sentences(part: Sentences) -> None:
    pieces = [_states(part, 0), _states(part, 1)]
    batches = [*Batches(part, pieces, 128, 2 * PIECE // 128)]
    seen = [tuple(row[row > 0]) for (ids, _), _ in batches for row in ids.numpy()]
    assert sorted(seen) == sorted(tuple(row[row > 0]) for row in part.ids)
    for (ids, masks), states in batches:
        assert states.shape[:2] == ids.shape == masks.shape
        torch.testing.assert_close(states[..., 0].float(), ids.to(torch.bfloat16).float())
    padded = sum(float((1 - masks).sum()) for (_, masks), _ in batches) / sum(masks.numel() for (_, masks), _ in batches)
    assert padded < 0.1
    assert [states.sum() for _, states in batches] == [states.sum() for _, states in Batches(part, pieces, 128, len(batches))]


def test_table_of_mean_states(part: Sentences, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = np.full((VOCABULARY, WIDTH), 3.0, np.float16)
    monkeypatch.setattr(sentence_states, "alone", lambda: alone)
    table = mean_states(part, [_states(part, 0)])
    count = int((part.ids[:PIECE] == 7).sum())
    assert count > 0
    torch.testing.assert_close(table[7], torch.full((WIDTH,), (3.0 + 7.0 * count) / (1 + count)))
    assert VOCABULARY - 1 not in part.ids
    torch.testing.assert_close(table[-1], torch.full((WIDTH,), 3.0))


def test_lesson_is_none_where_all_is_learned() -> None:
    torch.manual_seed(0)
    wanted = torch.randn(6, 5, WIDTH)
    wanted[0, 3:] = 0
    assert float(lesson(summed(wanted), wanted)) == pytest.approx(0.0, abs=1e-5)
    worse = [float(lesson(summed(wanted + scale * torch.randn(6, 5, WIDTH)), wanted)) for scale in (0.1, 0.5, 1.0)]
    assert worse == sorted(worse) and worse[0] > 0.01


def test_the_last_layer_is_fitted_to_whole_sentences(part: Sentences) -> None:
    """States that are a linear map of what the student gives: found, and the same through the tables."""
    network = _random(_student()).eval()
    ids, masks = torch.from_numpy(part.ids).long(), torch.from_numpy(part.masks)
    with torch.no_grad():
        sums = network(ids, masks).sum(1)
    hidden = torch.randn(WIDTH, WIDTH)
    wanted = (sums @ hidden) / masks.sum(1, keepdim=True)
    pieces = [np.repeat(wanted[rows].numpy(), part.masks[rows].sum(1).astype(int), 0) for rows in (slice(PIECE), slice(PIECE, 2 * PIECE))]
    refit(network, part, [piece.astype(np.float16) for piece in pieces])
    with torch.no_grad():
        found = network(ids[:200], masks[:200]).sum(1)
        torch.testing.assert_close(network.looked_up()(ids[:200], masks[:200]), found, rtol=1e-3, atol=1e-3)
    likeness = torch.cosine_similarity(found, wanted[:200])
    assert likeness.mean() > 0.99 > torch.cosine_similarity(sums[:200], wanted[:200]).mean()


def _student() -> Student:
    torch.manual_seed(0)
    return Student(torch.randn(VOCABULARY, WIDTH), torch.randn(VOCABULARY, WIDTH), ((8, 2, 12), (16, 4, 10)), LENGTH)


def _random(network: Student) -> Student:
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    with torch.no_grad():
        network.answers.weight[0] = 0.0
    return network


@pytest.fixture(name="part")
def _part() -> Sentences:
    rng = np.random.default_rng(0)
    lengths = rng.integers(3, LENGTH + 1, 2 * PIECE)
    masks = (np.arange(LENGTH) < lengths[:, None]).astype(np.float32)
    ids = (rng.integers(1, VOCABULARY - 1, masks.shape) * masks).astype(np.int32)
    return Sentences((), ids, masks)


def _states(part: Sentences, number: int) -> np.ndarray:
    """States that are the number of their token, over and over."""
    ids = part.ids[number * PIECE : (number + 1) * PIECE]
    return np.repeat(ids[ids > 0][:, None], WIDTH, 1).astype(np.float16)
