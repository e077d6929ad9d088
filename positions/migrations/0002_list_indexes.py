"""Indexes that the admin's lists and searches ask."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("positions", "0001_initial")]

    operations = [
        migrations.AddIndex("fill", models.Index(fields=["trade_id"], name="fill_trade_id")),
        migrations.AddIndex("fill", models.Index(fields=["exchange_order_id"], name="fill_exchange_order_id")),
        migrations.AddIndex("ledgerentry", models.Index(fields=["posted_at"], name="ledger_posted_at")),
    ]
