"""Indexes that the admin's lists and searches ask."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("risk", "0003_circuit")]

    operations = [
        migrations.AddIndex("decision", models.Index(fields=["id"], name="decision_denied", condition=models.Q(accepted=False))),
    ]
