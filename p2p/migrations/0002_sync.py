"""Adds what pull sync keeps: positions of keys, watermarks, parked records, times of sync."""

from __future__ import annotations

import hashlib

from django.db import migrations, models


def place_records(apps, schema_editor):
    """Give the records that are there the positions of their keys."""
    record_model = apps.get_model("p2p", "Record")
    for record in record_model.objects.all().iterator():
        # As in p2p.sync.items, which must not change under stored rows.
        digest = hashlib.sha256(record.key.encode()).digest()
        record.position = int.from_bytes(digest[:6], "big")
        record.save(update_fields=["position"])


class Migration(migrations.Migration):

    dependencies = [
        ('p2p', '0001_initial'),
    ]

    operations = [
        migrations.CreateModel(
            name='ParkedRecord',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('topic', models.CharField(max_length=32)),
                ('origin', models.CharField(max_length=32)),
                ('incarnation', models.PositiveBigIntegerField()),
                ('seq', models.PositiveBigIntegerField()),
                ('frame', models.BinaryField()),
                ('parked_at', models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name='TopicSync',
            fields=[
                ('topic', models.CharField(max_length=32, primary_key=True, serialize=False)),
                ('synced_at', models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name='Watermark',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('topic', models.CharField(max_length=32)),
                ('origin', models.CharField(max_length=32)),
                ('incarnation', models.PositiveBigIntegerField()),
                ('seq', models.PositiveBigIntegerField()),
                ('above', models.JSONField(blank=True, default=list, help_text='List of [incarnation, seq, incarnation, seq]: above the first pair, through the second.')),
            ],
        ),
        migrations.AddField(
            model_name='record',
            name='position',
            field=models.PositiveBigIntegerField(default=0, help_text='Where the key stands among all keys.'),
            preserve_default=False,
        ),
        migrations.RunPython(place_records, migrations.RunPython.noop),
        migrations.AddIndex(
            model_name='record',
            index=models.Index(fields=['topic', 'position'], name='record_position'),
        ),
        migrations.AddIndex(
            model_name='record',
            index=models.Index(fields=['topic', 'origin', 'incarnation', 'seq'], name='record_origin'),
        ),
        migrations.AddIndex(
            model_name='record',
            index=models.Index(fields=['expires_at'], name='record_expires'),
        ),
        migrations.AddConstraint(
            model_name='parkedrecord',
            constraint=models.UniqueConstraint(fields=('topic', 'origin', 'incarnation', 'seq'), name='parked_record'),
        ),
        migrations.AddConstraint(
            model_name='watermark',
            constraint=models.UniqueConstraint(fields=('topic', 'origin'), name='watermark_topic_origin'),
        ),
    ]
