"""Actors of any allowed length fit."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("risk", "0004_denied_decisions"),
    ]

    operations = [
        migrations.AlterField(
            model_name="decision",
            name="actor",
            field=models.CharField(max_length=200),
        ),
        migrations.AlterField(
            model_name="limit",
            name="set_by",
            field=models.CharField(max_length=200),
        ),
        migrations.AlterField(
            model_name="tradingstate",
            name="changed_by",
            field=models.CharField(max_length=200),
        ),
    ]
