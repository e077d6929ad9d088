"""Names of any allowed length fit where they are kept with a prefix; failed logins are counted."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("common", "0004_list_indexes"),
    ]

    operations = [
        migrations.AlterField(
            model_name="approval",
            name="decided_by",
            field=models.CharField(max_length=200, null=True),
        ),
        migrations.AlterField(
            model_name="approval",
            name="requested_by",
            field=models.CharField(max_length=200),
        ),
        migrations.AlterField(
            model_name="event",
            name="actor",
            field=models.CharField(max_length=200),
        ),
        migrations.AlterField(
            model_name="event",
            name="subject_id",
            field=models.CharField(max_length=200),
        ),
        migrations.AlterField(
            model_name="idempotencykey",
            name="principal",
            field=models.CharField(max_length=128),
        ),
        migrations.CreateModel(
            name="FailedLogins",
            fields=[
                ("subject", models.CharField(max_length=100, primary_key=True, serialize=False)),
                ("began_at", models.DateTimeField()),
                ("failures", models.PositiveIntegerField()),
            ],
            options={
                "verbose_name_plural": "failed logins",
                "indexes": [models.Index(fields=["began_at"], name="failed_logins_began")],
            },
        ),
    ]
