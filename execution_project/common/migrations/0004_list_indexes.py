"""Indexes that the admin's lists and searches ask."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("common", "0003_installation_database")]

    operations = [
        migrations.RemoveIndex("event", "common_even_subject_de19ce_idx"),
        migrations.AddIndex("event", models.Index(fields=["subject_id", "subject_type", "id"], name="event_subject")),
        migrations.AddIndex("event", models.Index(fields=["request_id"], name="event_request", condition=~models.Q(request_id=""))),
        migrations.RemoveConstraint("idempotencykey", "idempotency_key_once"),
        migrations.AddConstraint(
            "idempotencykey",
            models.UniqueConstraint(fields=["key", "principal"], name="idempotency_key_once"),
        ),
    ]
