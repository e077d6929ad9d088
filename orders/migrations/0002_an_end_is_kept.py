from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('common', '0002_approval_used_only_when_granted'),
        ('exchanges', '0002_account_mode_is_final'),
        ('orders', '0001_initial'),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name='order',
            name='order_end_is_kept',
        ),
        migrations.AddConstraint(
            model_name='order',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('status__in', ['filled', 'canceled', 'expired']), _negated=True), models.Q(('ended_as', models.F('status')), ('ended_as__isnull', False)), _connector='OR'), name='order_end_is_kept'),
        ),
    ]
