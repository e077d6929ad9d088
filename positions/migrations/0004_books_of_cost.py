"""Cost, value and profit of holdings: their facts, projections and checkpoints, and the guard of the ledger."""

import django.db.models.deletion
import execution_project.common.ids
import execution_project.common.money
from django.db import migrations, models


# One look at the rows of each inserting statement: legs of a fact are written together, and sum to zero per asset. A
# deferred trigger per row would look once for every leg.
BALANCED = """
CREATE FUNCTION positions_refuse_unbalanced() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    unbalanced record;
BEGIN
    SELECT coalesce(fill_id, posting_id) AS fact, asset, sum(amount) AS rest INTO unbalanced
    FROM inserted WHERE fill_id IS NOT NULL OR posting_id IS NOT NULL
    GROUP BY 1, 2 HAVING sum(amount) <> 0 LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the legs of % in % do not balance: % is left over',
            unbalanced.fact, unbalanced.asset, unbalanced.rest USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER positions_legs_balance AFTER INSERT ON positions_ledgerentry
    REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION positions_refuse_unbalanced()
"""
UNGUARDED = """
DROP TRIGGER positions_legs_balance ON positions_ledgerentry;
DROP FUNCTION positions_refuse_unbalanced()
"""


class Migration(migrations.Migration):

    dependencies = [
        ('common', '0005_names_fit_and_failed_logins'),
        ('exchanges', '0004_freshness_and_foreign_orders'),
        ('positions', '0003_transfers_book'),
    ]

    operations = [
        migrations.CreateModel(
            name='Allocation',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('asset', models.CharField(max_length=24)),
                ('at', models.DateTimeField()),
                ('moment', models.CharField(db_collation='C', max_length=200)),
                ('quantity', execution_project.common.money.MoneyField()),
                ('cost', execution_project.common.money.MoneyField()),
            ],
        ),
        migrations.CreateModel(
            name='BookedRate',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('asset', models.CharField(max_length=24)),
                ('currency', models.CharField(max_length=24)),
                ('price', execution_project.common.money.MoneyField()),
                ('marked_at', models.DateTimeField()),
                ('source', models.CharField(max_length=64)),
                ('path', models.JSONField(default=list)),
                ('age_ms', models.BigIntegerField()),
                ('stored_at', models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name='FillCorrection',
            fields=[
                ('id', models.UUIDField(default=execution_project.common.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('kind', models.CharField(choices=[('bust', 'bust'), ('correction', 'correction')], max_length=16)),
                ('price', execution_project.common.money.MoneyField()),
                ('quantity', execution_project.common.money.MoneyField()),
                ('quote_quantity', execution_project.common.money.MoneyField()),
                ('fees', models.JSONField(default=list)),
                ('reason', models.CharField(max_length=400)),
                ('corrected_by', models.CharField(max_length=200)),
                ('approval_id', models.UUIDField(null=True)),
                ('corrected_at', models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name='HoldingCheckpoint',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('asset', models.CharField(max_length=24)),
                ('moment', models.CharField(db_collation='C', max_length=200)),
                ('at', models.DateTimeField()),
                ('fact_count', models.PositiveBigIntegerField()),
                ('state', models.JSONField()),
            ],
        ),
        migrations.CreateModel(
            name='Inventory',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('asset', models.CharField(max_length=24)),
                ('moment', models.CharField(blank=True, db_collation='C', max_length=200)),
                ('fact_count', models.PositiveBigIntegerField(default=0)),
                ('restating', models.BooleanField(default=False)),
                ('restate_after', models.CharField(blank=True, db_collation='C', max_length=200)),
                ('restated_at', models.DateTimeField(null=True)),
                ('updated_at', models.DateTimeField()),
            ],
            options={
                'verbose_name_plural': 'inventories',
            },
        ),
        migrations.CreateModel(
            name='PositionCheckpoint',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('moment', models.CharField(db_collation='C', max_length=200)),
                ('at', models.DateTimeField()),
                ('fill_count', models.PositiveIntegerField()),
                ('state', models.JSONField()),
            ],
        ),
        migrations.CreateModel(
            name='Posting',
            fields=[
                ('id', models.UUIDField(default=execution_project.common.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ('kind', models.CharField(choices=[('opening', 'opening balance'), ('transfer', 'not classified yet'), ('deposit', 'deposit from outside'), ('withdrawal', 'withdrawal to outside'), ('own_transfer', 'transfer between own accounts'), ('dust', 'conversion of dust'), ('airdrop', 'airdrop'), ('rebate', 'rebate')], max_length=16)),
                ('asset', models.CharField(max_length=24)),
                ('amount', execution_project.common.money.MoneyField()),
                ('network_fee', execution_project.common.money.MoneyField(default=0)),
                ('value', execution_project.common.money.MoneyField(null=True)),
                ('currency', models.CharField(max_length=24)),
                ('value_assumed', models.BooleanField(default=False)),
                ('reference', models.CharField(max_length=128)),
                ('reason', models.CharField(blank=True, max_length=400)),
                ('posted_by', models.CharField(max_length=200)),
                ('approval_id', models.UUIDField(null=True)),
                ('effective_at', models.DateTimeField()),
                ('posted_at', models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name='RealisedPnl',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('asset', models.CharField(max_length=24)),
                ('role', models.CharField(max_length=8)),
                ('at', models.DateTimeField()),
                ('moment', models.CharField(db_collation='C', max_length=200)),
                ('quantity', execution_project.common.money.MoneyField()),
                ('proceeds', execution_project.common.money.MoneyField()),
                ('cost', execution_project.common.money.MoneyField()),
                ('realised', execution_project.common.money.MoneyField()),
                ('currency_effect', execution_project.common.money.MoneyField(default=0)),
                ('is_pending', models.BooleanField(default=False)),
            ],
            options={
                'verbose_name': 'realised PnL',
                'verbose_name_plural': 'realised PnL',
            },
        ),
        migrations.RemoveConstraint(
            model_name='holding',
            name='holding_once',
        ),
        migrations.RemoveConstraint(
            model_name='ledgerentry',
            name='ledger_book_known',
        ),
        migrations.AddField(
            model_name='holding',
            name='average_cost',
            field=execution_project.common.money.MoneyField(null=True),
        ),
        migrations.AddField(
            model_name='holding',
            name='cost',
            field=execution_project.common.money.MoneyField(default=0),
        ),
        migrations.AddField(
            model_name='holding',
            name='currency_effect',
            field=execution_project.common.money.MoneyField(default=0),
        ),
        migrations.AddField(
            model_name='holding',
            name='in_suspense',
            field=models.BooleanField(default=False),
        ),
        migrations.AddField(
            model_name='holding',
            name='pending',
            field=models.PositiveIntegerField(default=0),
        ),
        migrations.AddField(
            model_name='holding',
            name='realised_pnl',
            field=execution_project.common.money.MoneyField(default=0),
        ),
        migrations.AddField(
            model_name='position',
            name='disputed',
            field=models.BooleanField(default=False),
        ),
        migrations.AddField(
            model_name='position',
            name='fees_valued',
            field=execution_project.common.money.MoneyField(default=0),
        ),
        migrations.AddField(
            model_name='position',
            name='moment',
            field=models.CharField(blank=True, db_collation='C', max_length=200),
        ),
        migrations.AddField(
            model_name='position',
            name='pending',
            field=models.PositiveIntegerField(default=0),
        ),
        migrations.AddField(
            model_name='position',
            name='restate_after',
            field=models.CharField(blank=True, db_collation='C', max_length=200),
        ),
        migrations.AddField(
            model_name='position',
            name='restated_at',
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name='position',
            name='restating',
            field=models.BooleanField(default=False),
        ),
        migrations.AddField(
            model_name='position',
            name='unbooked',
            field=models.BooleanField(default=False),
        ),
        migrations.AlterField(
            model_name='ledgerentry',
            name='book',
            field=models.CharField(choices=[('exchange', 'held at the exchange'), ('trading', 'given and taken in trades'), ('fees', 'fees paid'), ('tax', 'tax paid'), ('opening', 'opening balance'), ('transfers', 'brought in or taken out, not classified yet'), ('external', 'deposits and withdrawals'), ('transit', 'under way between own accounts'), ('dust', 'given and taken in conversions of dust'), ('income', 'airdrops and rebates')], max_length=16),
        ),
        migrations.AddIndex(
            model_name='fill',
            index=models.Index(fields=['account', 'instrument', 'traded_at'], name='fill_of_position'),
        ),
        migrations.AddIndex(
            model_name='position',
            index=models.Index(condition=models.Q(('restating', True)), fields=['id'], name='position_restating'),
        ),
        migrations.AddConstraint(
            model_name='holding',
            constraint=models.UniqueConstraint(fields=('account', 'asset', 'strategy', 'in_suspense'), name='holding_once', nulls_distinct=False),
        ),
        migrations.AddConstraint(
            model_name='holding',
            constraint=models.CheckConstraint(condition=models.Q(('in_suspense', False), models.Q(('quantity__lte', 0), ('strategy__isnull', True)), _connector='OR'), name='holding_suspense_is_negative'),
        ),
        migrations.AddField(
            model_name='allocation',
            name='account',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to='exchanges.account'),
        ),
        migrations.AddField(
            model_name='allocation',
            name='fill',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to='positions.fill'),
        ),
        migrations.AddField(
            model_name='allocation',
            name='strategy',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to='common.strategy'),
        ),
        migrations.AddField(
            model_name='bookedrate',
            name='fill',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='rates', to='positions.fill'),
        ),
        migrations.AddField(
            model_name='fillcorrection',
            name='fill',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='corrections', to='positions.fill'),
        ),
        migrations.AddField(
            model_name='holdingcheckpoint',
            name='account',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to='exchanges.account'),
        ),
        migrations.AddField(
            model_name='inventory',
            name='account',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to='exchanges.account'),
        ),
        migrations.AddField(
            model_name='positioncheckpoint',
            name='account',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to='exchanges.account'),
        ),
        migrations.AddField(
            model_name='positioncheckpoint',
            name='instrument',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to='exchanges.instrument'),
        ),
        migrations.AddField(
            model_name='positioncheckpoint',
            name='strategy',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, to='common.strategy'),
        ),
        migrations.AddField(
            model_name='posting',
            name='account',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to='exchanges.account'),
        ),
        migrations.AddField(
            model_name='posting',
            name='classifies',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='classified_as', to='positions.posting'),
        ),
        migrations.AddField(
            model_name='posting',
            name='counterpart',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='counterparts', to='positions.posting'),
        ),
        migrations.AddField(
            model_name='posting',
            name='reverses',
            field=models.OneToOneField(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='reversed_by', to='positions.posting'),
        ),
        migrations.AddField(
            model_name='bookedrate',
            name='posting',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, related_name='rates', to='positions.posting'),
        ),
        migrations.AddField(
            model_name='ledgerentry',
            name='posting',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, to='positions.posting'),
        ),
        migrations.AddIndex(
            model_name='ledgerentry',
            index=models.Index(fields=['account', 'asset', 'effective_at'], name='ledger_of_asset'),
        ),
        migrations.AddConstraint(
            model_name='ledgerentry',
            constraint=models.CheckConstraint(condition=models.Q(('book__in', ['exchange', 'trading', 'fees', 'tax', 'opening', 'transfers', 'external', 'transit', 'dust', 'income'])), name='ledger_book_known'),
        ),
        migrations.AddField(
            model_name='realisedpnl',
            name='account',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to='exchanges.account'),
        ),
        migrations.AddField(
            model_name='realisedpnl',
            name='fill',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, to='positions.fill'),
        ),
        migrations.AddField(
            model_name='realisedpnl',
            name='instrument',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, to='exchanges.instrument'),
        ),
        migrations.AddField(
            model_name='realisedpnl',
            name='posting',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, to='positions.posting'),
        ),
        migrations.AddField(
            model_name='realisedpnl',
            name='strategy',
            field=models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, to='common.strategy'),
        ),
        migrations.AddIndex(
            model_name='allocation',
            index=models.Index(fields=['account', 'asset', 'moment'], name='allocation_of_asset'),
        ),
        migrations.AddConstraint(
            model_name='fillcorrection',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('fees', []), ('kind', 'bust'), ('quantity', 0), ('quote_quantity', 0)), models.Q(('kind', 'correction'), ('price__gt', 0), ('quantity__gt', 0), ('quote_quantity__gte', 0)), _connector='OR'), name='fill_correction_of_a_kind'),
        ),
        migrations.AddConstraint(
            model_name='holdingcheckpoint',
            constraint=models.UniqueConstraint(fields=('account', 'asset', 'moment'), name='holding_checkpoint_once'),
        ),
        migrations.AddIndex(
            model_name='inventory',
            index=models.Index(condition=models.Q(('restating', True)), fields=['id'], name='inventory_restating'),
        ),
        migrations.AddConstraint(
            model_name='inventory',
            constraint=models.UniqueConstraint(fields=('account', 'asset'), name='inventory_once'),
        ),
        migrations.AddConstraint(
            model_name='positioncheckpoint',
            constraint=models.UniqueConstraint(fields=('account', 'instrument', 'strategy', 'moment'), name='position_checkpoint_once', nulls_distinct=False),
        ),
        migrations.AddIndex(
            model_name='posting',
            index=models.Index(fields=['account', 'asset', 'effective_at'], name='posting_of_asset'),
        ),
        migrations.AddIndex(
            model_name='posting',
            index=models.Index(fields=['account', 'kind', 'effective_at'], name='posting_of_kind'),
        ),
        migrations.AddConstraint(
            model_name='posting',
            constraint=models.CheckConstraint(condition=models.Q(('kind__in', ['opening', 'transfer', 'deposit', 'withdrawal', 'own_transfer', 'dust', 'airdrop', 'rebate'])), name='posting_kind_known'),
        ),
        migrations.AddConstraint(
            model_name='posting',
            constraint=models.CheckConstraint(condition=models.Q(('amount', 0), _negated=True), name='posting_moves_something'),
        ),
        migrations.AddConstraint(
            model_name='bookedrate',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('fill__isnull', False), ('posting__isnull', True)), models.Q(('fill__isnull', True), ('posting__isnull', False)), _connector='OR'), name='booked_rate_of_one_fact'),
        ),
        migrations.AddConstraint(
            model_name='bookedrate',
            constraint=models.CheckConstraint(condition=models.Q(('price__gt', 0)), name='booked_rate_positive'),
        ),
        migrations.AddConstraint(
            model_name='bookedrate',
            constraint=models.UniqueConstraint(fields=('fill', 'asset', 'currency'), name='booked_rate_of_fill_once'),
        ),
        migrations.AddConstraint(
            model_name='bookedrate',
            constraint=models.UniqueConstraint(fields=('posting', 'asset', 'currency'), name='booked_rate_of_posting_once'),
        ),
        migrations.AddIndex(
            model_name='realisedpnl',
            index=models.Index(fields=['account', 'asset', 'moment'], name='realised_of_asset'),
        ),
        migrations.AddIndex(
            model_name='realisedpnl',
            index=models.Index(fields=['account', 'at'], name='realised_of_account'),
        ),
        migrations.CreateModel(
            name='PendingRate',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('asset', models.CharField(max_length=24)),
                ('at', models.DateTimeField()),
                ('next_at', models.DateTimeField(null=True)),
                ('account', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to='exchanges.account')),
                ('fill', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, to='positions.fill')),
                ('posting', models.ForeignKey(null=True, on_delete=django.db.models.deletion.PROTECT, to='positions.posting')),
            ],
            options={
                'indexes': [models.Index(fields=['next_at'], name='pending_rate_due')],
                'constraints': [models.UniqueConstraint(fields=('fill', 'posting', 'asset'), name='pending_rate_once', nulls_distinct=False)],
            },
        ),
        migrations.RunSQL(BALANCED, UNGUARDED),
    ]
