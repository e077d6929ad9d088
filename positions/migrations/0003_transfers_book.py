"""The book for what moves outside of trading."""

from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('exchanges', '0004_freshness_and_foreign_orders'),
        ('positions', '0002_list_indexes'),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name='ledgerentry',
            name='ledger_book_known',
        ),
        migrations.AlterField(
            model_name='ledgerentry',
            name='book',
            field=models.CharField(choices=[('exchange', 'held at the exchange'), ('trading', 'given and taken in trades'), ('fees', 'fees paid'), ('tax', 'tax paid'), ('opening', 'opening balance'), ('transfers', 'brought in or taken out outside of trading')], max_length=16),
        ),
        migrations.AddConstraint(
            model_name='ledgerentry',
            constraint=models.CheckConstraint(condition=models.Q(('book__in', ['exchange', 'trading', 'fees', 'tax', 'opening', 'transfers'])), name='ledger_book_known'),
        ),
    ]
