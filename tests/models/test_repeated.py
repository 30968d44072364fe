import pytest
import torch
from torch import nn

from neurofit.errors import ModelContractError
from neurofit.models.repeated import RepeatedNetwork


class Counter(nn.Module):
    """A state that is changed in place, as frugal recurrent code does."""

    def forward(self, frame, state):
        state = torch.zeros(len(frame), 2) if state is None else state
        state += frame.mean((1, 2, 3))[:, None]
        return {"sum": state, "other": state}, state


class Wrong(nn.Module):
    def __init__(self, answer):
        super().__init__()
        self.answer, self.t = answer, -1

    def forward(self, frame, state):
        self.t += 1
        return self.answer(self.t)


def test_every_step_is_kept_although_the_state_changes_in_place():
    frames = [torch.full((3, 3, 2, 2), float(value)) for value in (1, 2, 0)]
    course = RepeatedNetwork(Counter())(frames, ["sum"])
    assert list(course) == ["sum"]
    assert course["sum"][0, :, 0].tolist() == [1, 3, 3]
    assert course["sum"].shape == (3, 3, 2)
    again = RepeatedNetwork(Counter())(frames, ["sum"])
    assert torch.equal(course["sum"], again["sum"])


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda t: torch.zeros(1, 2), "returns outputs and state - Wrong returned Tensor at step 0"),
        (lambda t: ({}, None), "step 0 returned only nothing for 'sum' - return zeros where nothing has arrived yet"),
        (lambda t: ({"sum": 0 if t else torch.zeros(1, 2)}, None), "step 1 returned int for 'sum'"),
        (lambda t: ({"sum": torch.zeros(1, 2 + t)}, None), r"'sum' is \(1, 3\) at step 1 and was \(1, 2\)"),
    ],
)
def test_a_broken_promise_is_named(answer, message):
    with pytest.raises(ModelContractError, match=message):
        RepeatedNetwork(Wrong(answer))([torch.zeros(1, 3, 2, 2)] * 2, ["sum"])
