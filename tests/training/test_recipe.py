"""Recipes: what a TOML file says, schedules, and which parameters decay."""

import pytest
import torch

from neurofit.errors import ConfigurationError, UnknownNameError
from neurofit.models.network import ConvRNN
from neurofit.models.zoo import zoo_entry
from neurofit.training.augmentation import Augmentation, cropped, resized
from neurofit.training.optimisation import build_optimiser
from neurofit.training.recipe import Optimiser, Phase, Recipe, Schedule, load_recipe, recipe_names


@pytest.mark.parametrize("name", ["matched", "long", "port"])
def test_recipes_of_the_package_load_and_say_where_they_are_from(name):
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.source
    assert name in recipe_names()


def test_unknown_recipes_and_keys_name_the_nearest(tmp_path):
    with pytest.raises(UnknownNameError, match="use 'matched'"):
        load_recipe("mached")
    path = tmp_path / "own.toml"
    path.write_text('name = "own"\nbatch = 0\nphases = []\n[optimiser]\nlerning_rate = 1\n')
    with pytest.raises(ConfigurationError, match=r"batch.*above 0.*lerning_rate.*learning_rate"):
        load_recipe(str(path))
    path.write_text('name = "own"\nbatch = 2\nphases = []\n')
    with pytest.raises(ConfigurationError, match="phases has none"):
        load_recipe(str(path))


def test_phases_follow_each_other():
    recipe = Recipe("r", 8, (Phase(2, 40), Phase(1), Phase(1, 80)))
    assert recipe.epochs == 4
    assert [recipe.size_px(epoch, 64) for epoch in range(4)] == [40, 40, 64, 80]
    with pytest.raises(IndexError):
        recipe.size_px(4, 64)


def test_learning_rates_rise_and_fall():
    phases, peak = (Phase(100),), Optimiser(learning_rate=0.5)
    cosine = Recipe("r", 8, phases, peak, Schedule("cosine", warm_up=0.1))
    assert [cosine.learning_rate(epoch) for epoch in (0, 5, 10, 55, 100)] == pytest.approx([0, 0.25, 0.5, 0.25, 0])
    step = Recipe("r", 8, phases, peak, Schedule("step", step_epochs=30, factor=0.1))
    assert [step.learning_rate(epoch) for epoch in (0, 29.9, 30, 95)] == pytest.approx([0.5, 0.5, 0.05, 0.0005])
    assert Recipe("r", 8, phases, peak, Schedule("constant")).learning_rate(70) == 0.5


@pytest.mark.parametrize("kind", ["adamw", "sgd"])
def test_kernels_decay_and_biases_gains_and_decays_do_not(kind):
    network = ConvRNN(zoo_entry("simplernn_untrained").network)
    optimiser = build_optimiser(network, Optimiser(kind, weight_decay=0.1, cell_weight_decay=0.2))
    decays = {id(p): group["weight_decay"] for group in optimiser.param_groups for p in group["params"]}
    found = {name: decays[id(parameter)] for name, parameter in network.named_parameters()}
    assert len(decays) == len(found)
    for name, decay in found.items():
        if name.endswith("bias") or ".norm." in name:
            assert decay == 0, name
        else:
            assert decay == (0.2 if ".cell." in name else 0.1), name
    assert set(found.values()) == {0, 0.1, 0.2}


def test_decays_of_states_have_no_weight_decay():
    network = ConvRNN(zoo_entry("timedecay_untrained").network)
    optimiser = build_optimiser(network, Optimiser(weight_decay=0.1))
    undecayed = {id(p) for group in optimiser.param_groups if group["weight_decay"] == 0 for p in group["params"]}
    scalars = [p for p in network.parameters() if p.numel() == 1 and p.requires_grad]
    assert len(scalars) == 3
    assert all(id(p) in undecayed for p in scalars)


def test_crops_depend_on_seed_epoch_and_image_alone():
    augmentation = Augmentation(0.3)
    crops, again = augmentation.crops(1, 2, 50), augmentation.crops(1, 2, 50)
    assert torch.equal(crops.left, again.left)
    assert not torch.equal(crops.left, augmentation.crops(1, 3, 50).left)
    assert not torch.equal(crops.left, augmentation.crops(2, 2, 50).left)
    assert 10 < int(crops.mirrored.sum()) < 40
    assert not Augmentation(0.3, mirror=False).crops(1, 2, 50).mirrored.any()


def test_crops_lie_in_their_images():
    crops = Augmentation(0.2).crops(0, 0, 2000)
    for start, length in ((crops.left, crops.width), (crops.top, crops.height)):
        assert float(start.min()) >= 0
        assert float((start + length).max()) <= 1 + 1e-6
    area, aspect = crops.width * crops.height, crops.width / crops.height
    assert 0.19 < float(area.min()) < 0.25
    assert 0.7 < float(aspect.min()) < float(aspect.max()) < 1.4
    assert float(area.mean()) == pytest.approx(0.59, abs=0.03)


def test_what_is_cropped_is_that_part_of_the_image():
    ramp = torch.arange(8.0).expand(1, 3, 8, 8)
    crops = Augmentation(1.0).crops(0, 0, 1)
    half = type(crops)(
        torch.tensor([0.5]), torch.tensor([0.0]), torch.tensor([0.5]), torch.tensor([1.0]), torch.tensor([False])
    )
    shown = cropped(ramp, half, 4)
    torch.testing.assert_close(shown[0, 0, 1], torch.tensor([4.0, 5, 6, 7]))
    mirrored = type(crops)(half.left, half.top, half.width, half.height, torch.tensor([True]))
    torch.testing.assert_close(cropped(ramp, mirrored, 4), shown.flip(3))
    torch.testing.assert_close(resized(ramp, 8), ramp)
    assert resized(ramp, 4).shape == (1, 3, 4, 4)
