"""Model relations point down the house only."""

from __future__ import annotations

from django.apps import apps

HOUSE = ["common", "exchanges", "positions", "risk", "orders"]


def test_foreign_keys_point_down_the_house_only() -> None:
    seen: set[tuple[str, str]] = set()
    for model in apps.get_models(include_auto_created=True):
        label = model._meta.app_label
        for field in model._meta.get_fields():
            if not field.is_relation or field.auto_created or field.related_model is None:
                continue
            target = field.related_model._meta.app_label
            if label not in HOUSE:
                assert target not in HOUSE, f"{model.__name__}.{field.name}: a library points at us"
                continue
            assert target in HOUSE, f"{model.__name__}.{field.name} points at {target}"
            assert HOUSE.index(target) <= HOUSE.index(label), f"{model.__name__}.{field.name} points up at {target}"
            seen.add((label, target))
    assert {("orders", "exchanges"), ("positions", "exchanges"), ("orders", "common")} <= seen
    assert not {("orders", "positions"), ("orders", "risk")} & seen, "orders find fills and reservations by id"


def test_nothing_of_the_past_is_deleted_with_what_it_refers_to() -> None:
    for model in apps.get_models():
        if model._meta.app_label not in HOUSE or model.__name__ == "Quote":
            continue
        for field in model._meta.local_fields:
            if field.many_to_one or field.one_to_one:
                assert field.remote_field.on_delete.__name__ == "PROTECT", f"{model.__name__}.{field.name}"
