"""The kill whose flatten an order belongs to."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("common", "0005_names_fit_and_failed_logins"),
        ("exchanges", "0004_freshness_and_foreign_orders"),
        ("orders", "0006_breaks_of_the_whole_taxonomy"),
    ]

    operations = [
        migrations.AddField(
            model_name="order",
            name="kill_id",
            field=models.UUIDField(null=True),
        ),
        migrations.AddIndex(
            model_name="order",
            index=models.Index(
                condition=models.Q(("kill_id__isnull", False)), fields=["kill_id", "id"], name="order_of_kill"
            ),
        ),
    ]
