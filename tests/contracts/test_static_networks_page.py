"""The Python of docs/static-networks.md runs as it stands."""

import re

import torch


def test_the_page(repository, capsys):
    page = (repository / "docs" / "static-networks.md").read_text()
    code = "".join(re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL))
    names = {}
    exec(code, names)
    assert capsys.readouterr().out.splitlines() == re.findall(r"print\(.*# (\[.*?\])", code)
    subject = names["subject"]
    image = torch.rand(1, 3, 64, 64)
    course = subject.network([image] * 10 + [torch.zeros_like(image)] * 16, ["early", "late"])
    lit = {layer: values.flatten(2).abs().sum((0, 2)).nonzero().flatten().tolist() for layer, values in course.items()}
    assert lit == {"early": list(range(5, 15)), "late": list(range(9, 19))}
    turns = names["in_turn"].network([image] * 26, ["all"])["all"].abs()
    early = turns[0, :, : 16 * 15 * 15].sum(1).nonzero().flatten().tolist()
    assert early == list(range(7, 13))
    assert names["stepped"].layers == ("V1",)


def test_the_pages_networks_of_others_are_called_as_they_are_defined(repository):
    """What needs the libraries does not run here; its names and parameters are checked."""
    import ast
    import inspect

    from neurofit.subjects import third_party

    page = (repository / "docs" / "static-networks.md").read_text()
    (code,) = re.findall(r"```py\n(.*?)```", page, flags=re.DOTALL)
    calls = [node.value for node in ast.parse(code).body if isinstance(node, ast.Assign)]
    assert [call.func.id for call in calls] == ["torchvision_subject", "timm_subject"]
    for call in calls:
        arguments = [ast.literal_eval(a) for a in call.args], {k.arg: ast.literal_eval(k.value) for k in call.keywords}
        inspect.signature(getattr(third_party, call.func.id)).bind(*arguments[0], **arguments[1])
