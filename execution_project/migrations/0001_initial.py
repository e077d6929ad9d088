"""What the task queue's table needs for our broker: order of due rows by index, deliveries counted, less bloat."""

from django.db import migrations


class Migration(migrations.Migration):
    initial = True
    dependencies = [("django_q", "0018_task_success_index")]
    operations = [
        migrations.RunSQL(
            [
                # A task that kills its worker never reports a failure, so only the broker can count its deliveries.
                "ALTER TABLE django_q_ormq ADD COLUMN IF NOT EXISTS exec_deliveries integer NOT NULL DEFAULT 0",
                # A cluster that was killed runs nothing any more, so the rows it had pulled are free at once.
                "ALTER TABLE django_q_ormq ADD COLUMN IF NOT EXISTS exec_puller varchar(100) NOT NULL DEFAULT ''",
                "CREATE INDEX IF NOT EXISTS exec_ormq_due ON django_q_ormq (key, lock, id)",
                "ALTER TABLE django_q_ormq SET (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.0,"
                " autovacuum_vacuum_threshold = 500, autovacuum_analyze_scale_factor = 0.0,"
                " autovacuum_analyze_threshold = 1000)",
            ],
            [
                "ALTER TABLE django_q_ormq RESET (fillfactor, autovacuum_vacuum_scale_factor,"
                " autovacuum_vacuum_threshold, autovacuum_analyze_scale_factor, autovacuum_analyze_threshold)",
                "DROP INDEX IF EXISTS exec_ormq_due",
                "ALTER TABLE django_q_ormq DROP COLUMN IF EXISTS exec_deliveries, DROP COLUMN IF EXISTS exec_puller",
            ],
        )
    ]
