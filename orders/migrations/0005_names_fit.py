"""Actors of any allowed length fit."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("orders", "0004_list_indexes"),
    ]

    operations = [
        migrations.AlterField(
            model_name="break",
            name="resolved_by",
            field=models.CharField(blank=True, max_length=200),
        ),
        migrations.AlterField(
            model_name="command",
            name="requested_by",
            field=models.CharField(max_length=200),
        ),
        migrations.AlterField(
            model_name="order",
            name="created_by",
            field=models.CharField(max_length=200),
        ),
    ]
