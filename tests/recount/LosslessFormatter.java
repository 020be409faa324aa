import java.io.ByteArrayOutputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.MessageFormatter;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * Lets Kafka's own console consumer print records without loss, and stop by itself.
 *
 * The formatters that Kafka ships separate fields by text that a value may hold itself, and print null like a string. This one
 * writes frames with lengths. The console consumer can stop after a number of records or a silence; neither is right for a log
 * whose last offsets may be transaction markers. So before the first record this class notes, per partition, where the log ends
 * for a read_committed reader and which record there is the last visible one, and ends the process once it has written them all.
 *
 * All numbers are big-endian. A frame starts with its kind:
 * 'P' partition:int begin:long end:long last:long   one per partition, first (last = -1: nothing visible)
 * 'R' partition:int offset:long timestamp:long timestampType:byte headers:int keyLength:int valueLength:int, then key and value
 *     (length -1 = null), then per header nameLength:int valueLength:int name value
 * 'E' the end; without it the output is cut short
 */
public final class LosslessFormatter implements MessageFormatter {
    private static final int BUFFER = 1 << 20;
    private static final Duration PATIENCE = Duration.ofSeconds(60);

    private final ByteArrayOutputStream bytes = new ByteArrayOutputStream(2 * BUFFER);
    private final DataOutputStream frames = new DataOutputStream(bytes);
    private final Map<Integer, Long> last = new HashMap<>();
    private int unfinished;

    /** Properties: brokers, topic, and optionally until, as "partition:offset,…": read only what lies below. */
    @Override
    public void configure(Map<String, ?> properties) {
        Map<Integer, Long> until = new HashMap<>();
        Object limits = properties.get("until");
        if (limits != null && !limits.toString().isEmpty()) {
            for (String limit : limits.toString().split(",")) {
                String[] sides = limit.split(":");
                until.put(Integer.valueOf(sides[0]), Long.valueOf(sides[1]));
            }
        }
        Properties settings = new Properties();
        settings.put("bootstrap.servers", properties.get("brokers"));
        settings.put("isolation.level", "read_committed");
        settings.put("enable.auto.commit", "false");
        settings.put("auto.offset.reset", "none");
        settings.put("key.deserializer", ByteArrayDeserializer.class.getName());
        settings.put("value.deserializer", ByteArrayDeserializer.class.getName());
        try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(settings)) {
            List<TopicPartition> partitions = new ArrayList<>();
            consumer.partitionsFor(properties.get("topic").toString())
                .forEach(info -> partitions.add(new TopicPartition(info.topic(), info.partition())));
            Map<TopicPartition, Long> begins = consumer.beginningOffsets(partitions);
            Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
            for (TopicPartition partition : partitions) {
                long begin = begins.get(partition);
                long end = ends.get(partition);
                if (limits != null) {
                    end = Math.min(end, until.getOrDefault(partition.partition(), begin));
                }
                long visible = lastVisible(consumer, partition, begin, end);
                last.put(partition.partition(), visible);
                unfinished += visible < 0 ? 0 : 1;
                frames.writeByte('P');
                frames.writeInt(partition.partition());
                frames.writeLong(begin);
                frames.writeLong(end);
                frames.writeLong(visible);
            }
        } catch (IOException failure) {
            throw new UncheckedIOException(failure);
        }
        if (unfinished == 0) {
            finish(System.out);
        }
    }

    /** The greatest offset below end that holds a visible record, found by looking back in growing steps; -1 if there is none. */
    private static long lastVisible(KafkaConsumer<byte[], byte[]> consumer, TopicPartition partition, long begin, long end) {
        consumer.assign(List.of(partition));
        for (long step = 1; begin < end; step *= 16) {
            long from = Math.max(begin, end - step);
            consumer.seek(partition, from);
            long found = -1;
            long deadline = System.nanoTime() + PATIENCE.toNanos();
            while (consumer.position(partition) < end) {
                if (System.nanoTime() > deadline) {
                    throw new IllegalStateException("the end of " + partition + " was not reached within " + PATIENCE);
                }
                for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(200))) {
                    found = record.offset() < end ? record.offset() : found;
                }
            }
            if (found >= 0 || from == begin) {
                return found;
            }
        }
        return -1;
    }

    @Override
    public void writeTo(ConsumerRecord<byte[], byte[]> record, PrintStream output) {
        long end = last.getOrDefault(record.partition(), -1L);
        if (record.offset() > end) {
            return;
        }
        try {
            frames.writeByte('R');
            frames.writeInt(record.partition());
            frames.writeLong(record.offset());
            frames.writeLong(record.timestamp());
            frames.writeByte(record.timestampType().id);
            Header[] headers = record.headers().toArray();
            frames.writeInt(headers.length);
            length(record.key());
            length(record.value());
            content(record.key());
            content(record.value());
            for (Header header : headers) {
                byte[] name = header.key().getBytes(StandardCharsets.UTF_8);
                length(name);
                length(header.value());
                content(name);
                content(header.value());
            }
        } catch (IOException failure) {
            throw new UncheckedIOException(failure);
        }
        if (bytes.size() >= BUFFER) {
            drain(output);
        }
        if (record.offset() == end && --unfinished == 0) {
            finish(output);
        }
    }

    private void length(byte[] field) throws IOException {
        frames.writeInt(field == null ? -1 : field.length);
    }

    private void content(byte[] field) throws IOException {
        if (field != null) {
            frames.write(field);
        }
    }

    private void drain(PrintStream output) {
        output.write(bytes.toByteArray(), 0, bytes.size());
        bytes.reset();
    }

    /** Halts instead of exiting: the console consumer's shutdown hook waits for the loop that is calling us. */
    private void finish(PrintStream output) {
        bytes.write('E');
        drain(output);
        boolean failed = output.checkError();
        Runtime.getRuntime().halt(failed ? 1 : 0);
    }
}
