"""Breaks of prices, fees and overdue comparisons; orders with trades that are not booked are found by an index."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("exchanges", "0004_freshness_and_foreign_orders"),
        ("orders", "0005_names_fit"),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name="break",
            name="break_kind_known",
        ),
        migrations.AlterField(
            model_name="break",
            name="kind",
            field=models.CharField(
                choices=[
                    ("missing_fill", "trades at the exchange that are not in the books"),
                    ("orphan_fill", "a booked fill that the exchange does not show"),
                    ("unknown_order", "an order that is not ours"),
                    ("adopted_order", "an order of ours that was forgotten"),
                    ("missing_at_venue", "a working order that the exchange does not show"),
                    ("status_mismatch", "ended here, working at the exchange"),
                    ("qty_mismatch", "a traded quantity differs"),
                    ("price_mismatch", "the price of a fill differs"),
                    ("fee_mismatch", "the fee of a fill differs"),
                    ("balance_mismatch", "ledger and balance differ"),
                    ("negative_inventory", "the ledger holds less than nothing"),
                    ("stale_recon", "books not compared with the exchange in time"),
                ],
                max_length=24,
            ),
        ),
        migrations.AddIndex(
            model_name="exchangeorder",
            index=models.Index(
                condition=models.Q(("cumulative_quantity__gt", models.F("booked_quantity"))),
                fields=["order"],
                name="exchange_order_unbooked",
            ),
        ),
        migrations.AddConstraint(
            model_name="break",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    (
                        "kind__in",
                        [
                            "missing_fill",
                            "orphan_fill",
                            "unknown_order",
                            "adopted_order",
                            "missing_at_venue",
                            "status_mismatch",
                            "qty_mismatch",
                            "price_mismatch",
                            "fee_mismatch",
                            "balance_mismatch",
                            "negative_inventory",
                            "stale_recon",
                        ],
                    )
                ),
                name="break_kind_known",
            ),
        ),
    ]
