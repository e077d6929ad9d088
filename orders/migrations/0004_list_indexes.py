"""Indexes that the admin's lists and searches ask."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("orders", "0003_breaks_and_origin")]

    operations = [
        migrations.RemoveIndex("order", "orders_orde_created_46c7a4_idx"),
        migrations.AddIndex("order", models.Index(fields=["idempotency_key", "created_by"], name="order_idempotency_key")),
        migrations.AddIndex("order", models.Index(fields=["status", "id"], name="order_status")),
        migrations.AddIndex("attempt", models.Index(fields=["outcome", "id"], name="attempt_outcome")),
    ]
