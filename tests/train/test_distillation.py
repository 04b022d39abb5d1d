"""Each term is zero where student and teacher agree, is what its paper says on numbers worked by hand, and teaches."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from edgewright.data import Data
from edgewright.errors import DataError, ModelError, RecipeError
from edgewright.ops.evaluate import evaluate
from edgewright.train.distillation import (
    Attention,
    AttentionMaps,
    DecoupledLogits,
    Directions,
    Distillation,
    Features,
    Labels,
    Logits,
    Outputs,
    Similarities,
    layer_terms,
)
from edgewright.train.loop import train
from edgewright.train.module import from_module, to_module
from tests.train.digits import digit_images, digit_network, need_training, trained_digits

NO_LABELS = torch.zeros(2)


@pytest.fixture(autouse=True)
def _needs_train() -> None:
    need_training()


def test_logits_by_hand():
    student, teacher = torch.tensor([[0.0, 2.0], [1.0, 0.0]]), torch.tensor([[0.0, 4.0], [0.0, 0.0]])
    wanted = 0.0
    for mine, other in zip((student / 2).tolist(), (teacher / 2).tolist()):
        p, q = ([math.exp(x) / sum(map(math.exp, row)) for x in row] for row in (other, mine))
        wanted += sum(a * math.log(a / b) for a, b in zip(p, q))
    assert float(Logits(2.0).loss(student, teacher, NO_LABELS)) == pytest.approx(4 * wanted / 2, rel=1e-5)


def test_decoupled_logits_are_logits_in_two_parts():
    """KD = target + (1 - p of the target) * rest, for each row (equation 7 of the paper)."""
    torch.manual_seed(0)
    student, teacher, label = torch.randn(1, 7), torch.randn(1, 7), torch.tensor([3])
    target = DecoupledLogits(3.0, target=1.0, rest=0.0).loss(student, teacher, label)
    rest = DecoupledLogits(3.0, target=0.0, rest=1.0).loss(student, teacher, label)
    share = 1 - (teacher / 3.0).softmax(-1)[0, 3]
    torch.testing.assert_close(target + share * rest, Logits(3.0).loss(student, teacher, label))
    unlabelled = DecoupledLogits().loss(student, teacher, torch.randn(1, 4))
    torch.testing.assert_close(unlabelled, DecoupledLogits().loss(student, teacher, teacher.argmax(-1)))


def test_attention_is_where_the_activity_is():
    x = torch.rand(2, 4, 4, 3)
    term = Attention("a", "b")
    assert float(term.loss(x, 7 * x, NO_LABELS)) == pytest.approx(0, abs=1e-6), "how strong it is does not count"
    left, right = torch.zeros(1, 2, 2, 3), torch.zeros(1, 2, 2, 5)
    left[0, 0, 0], right[0, 1, 1] = 1.0, 1.0
    assert float(term.loss(left, right, NO_LABELS)) == pytest.approx(2.0)


def test_attention_maps_of_transformers():
    torch.manual_seed(0)
    maps = torch.randn(2, 4, 5, 5).softmax(-1)
    term = AttentionMaps("a", "b")
    assert float(term.loss(maps, maps, NO_LABELS)) == pytest.approx(0, abs=1e-6)
    other = torch.randn(2, 4, 5, 5).softmax(-1)
    torch.testing.assert_close(term.loss(maps, other, NO_LABELS), (other * (other / maps).log()).sum(-1).mean())
    assert float(term.loss(maps[:, :2], other, NO_LABELS)) > 0, "heads of another number are averaged"
    with pytest.raises(ModelError, match="attention maps 'a' and 'b'"):
        term.loss(maps, other[..., :4], NO_LABELS)


def test_embeddings_are_compared_by_direction_and_by_their_similarities():
    student, teacher = torch.tensor([[3.0, 0.0], [0.0, 2.0], [1.0, 1.0]]), torch.tensor([[1.0, 0.0], [5.0, 0.0], [0.0, 1.0]])
    root = math.sqrt(0.5)
    assert float(Directions().loss(student, teacher, NO_LABELS)) == pytest.approx(1 - (1 + 0 + root) / 3)
    mine, other = [0.0, root, root], [1.0, 0.0, 0.0]
    mean = sum(other) / 3
    wanted = sum((a - b) ** 2 for a, b in zip(mine, other)) / sum((b - mean) ** 2 for b in other)
    assert float(Similarities().loss(student, teacher, NO_LABELS)) == pytest.approx(wanted, rel=1e-5)
    wide = torch.cat([student, torch.zeros(3, 4)], 1)
    torch.testing.assert_close(Similarities().loss(wide, teacher, NO_LABELS), Similarities().loss(student, teacher, NO_LABELS))
    assert float(Similarities().loss(student[:1], teacher[:1], NO_LABELS)) == 0
    with pytest.raises(ModelError, match="no embeddings to compare"):
        Directions().loss(wide, teacher, NO_LABELS)


def test_features_of_other_sizes_are_brought_together():
    student, teacher = {"": torch.zeros(1), "a": torch.randn(2, 8, 8, 3)}, {"": torch.zeros(1), "b": torch.randn(2, 4, 4, 5)}
    lessons = Distillation([Features("a", "b")], "weights", student, teacher, [])
    assert [tuple(p.shape) for p in lessons.parameters()] == [(5, 3), (5,)]
    pooled = F.adaptive_avg_pool2d(student["a"].movedim(-1, 1), 4).movedim(1, -1)
    wanted = (lessons.adapters["0"](pooled) - teacher["b"]).square().mean() / teacher["b"].square().mean()
    torch.testing.assert_close(lessons(student, teacher, NO_LABELS), wanted)
    with pytest.raises(ModelError, match="cannot be compared"):
        Features("a", "b").loss(torch.zeros(2, 3, 5), torch.zeros(2, 4, 5), NO_LABELS)


def test_gradients_are_balanced():
    weight = torch.nn.Parameter(torch.ones(4))
    student = {"": weight[None] * torch.tensor([[1.0, 2.0, 3.0, 4.0]]), "a": 1000 * weight[None]}
    teacher = {"": torch.zeros(1, 4), "b": torch.ones(1, 4)}
    lessons = Distillation([Outputs(), Features("a", "b")], "gradients", student, {**teacher, "": torch.ones(1, 4)}, [weight]).train()
    lessons(student, {**teacher, "": torch.ones(1, 4)}, NO_LABELS)
    norms = [torch.autograd.grad(scale * loss, weight, retain_graph=True)[0].norm() for scale, loss in zip(lessons.scales, (
        Outputs().loss(student[""], torch.ones(1, 4), NO_LABELS), Features("a", "b").loss(student["a"], teacher["b"], NO_LABELS)))]
    torch.testing.assert_close(norms[0], norms[1])


@pytest.mark.parametrize("balance", ["weights", "uncertainty", "gradients"])
def test_a_narrow_student_learns_from_the_inside_of_its_teacher(balance):
    data, test = digit_images()
    teacher = trained_digits()
    module = to_module(digit_network(8, seed=1))
    terms = (Logits(), Features("second", "second"), Attention("first", "first"))
    history = train(module, Data(data.inputs), validation=Data(test.inputs), teacher=teacher, terms=terms, balance=balance, epochs=3,
                    learning_rate=0.03, batch_size=50, cpu=True)
    assert history.epochs[-1]["validation loss"] < 0.8 * history.start["validation loss"]
    wanted = evaluate(teacher, test.inputs)[0].argmax(-1)
    assert (evaluate(from_module(module), test.inputs)[0].argmax(-1) == wanted).mean() > 0.2
    assert not any("adapter" in name for name in module.state_dict()), "what helps to learn does not stay"


class Killed(BaseException):
    pass


def test_a_killed_distillation_resumes_to_the_same_bits(tmp_path):
    data = Data(digit_images()[0].inputs).take(slice(0, 300))
    options = {"teacher": trained_digits(), "terms": (Logits(), Features("second", "second")), "balance": "uncertainty", "epochs": 2,
               "batch_size": 50, "cpu": True, "learning_rate": 0.01, "validation": data}
    whole, resumed = (to_module(digit_network(8)) for _ in range(2))
    straight = train(whole, data, **options)

    def kill(what: str, step: int, steps: int) -> None:
        if step == 8:
            raise Killed

    with pytest.raises(Killed):
        train(to_module(digit_network(8)), data, folder=tmp_path, checkpoint_batches=3, progress=kill, **options)
    assert train(resumed, data, folder=tmp_path, checkpoint_batches=3, **options) == straight
    assert from_module(resumed).digest == from_module(whole).digest


def test_layer_by_layer():
    teacher = trained_digits()
    assert [term.student for term in layer_terms(digit_network(), teacher)] == ["first", "second", "head"]
    assert [term.student for term in layer_terms(digit_network(8), teacher)] == ["head"]


def test_what_it_refuses():
    data = digit_images()[0].take(slice(0, 50))
    module, options = to_module(digit_network()), {"epochs": 1, "cpu": True}
    with pytest.raises(RecipeError, match="terms of distillation need a teacher"):
        train(module, data, terms=(Logits(),), **options)
    with pytest.raises(RecipeError, match="unknown balance 'fair'"):
        train(module, data, teacher=trained_digits(), balance="fair", **options)
    with pytest.raises(DataError, match="no labels to learn from"):
        train(module, Data(data.inputs), teacher=trained_digits(), terms=(Labels(),), **options)
    with pytest.raises(ModelError, match="these are no logits to compare"):
        train(module, data, teacher=lambda inputs: np.zeros((len(inputs[0]), 3), np.float32), **options)
    with pytest.raises(ModelError, match="has no value 'third'"):
        train(module, data, teacher=trained_digits(), terms=(Features("third", "second"),), **options)
