from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('common', '0001_initial'),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name='approval',
            name='approval_used_in_time',
        ),
        migrations.AddConstraint(
            model_name='approval',
            constraint=models.CheckConstraint(condition=models.Q(('used_at__isnull', True), models.Q(('approved', True), ('approved__isnull', False), ('used_at__lte', models.F('expires_at'))), _connector='OR'), name='approval_used_in_time'),
        ),
    ]
