import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.*;
import java.util.stream.Collectors;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * Prints what Kafka's own consumer sees of topics: ADDRESS ISOLATION TOPIC...
 *
 * A line for each partition, "bounds TOPIC PARTITION BEGIN END", and one for each record, "record TOPIC PARTITION OFFSET TIMESTAMP KEY
 * VALUE HEADER=VALUE...". Bytes are in hexadecimal behind an x, and null is "-".
 */
public class Read {
    public static void main(String[] args) {
        var config = Map.<String, Object>of(
            "bootstrap.servers", args[0], "isolation.level", args[1], "auto.offset.reset", "earliest", "enable.auto.commit", false,
            "default.api.timeout.ms", 120_000, "max.partition.fetch.bytes", 16 << 20);
        try (var consumer = new KafkaConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            var partitions = Arrays.stream(args).skip(2).flatMap(topic -> consumer.partitionsFor(topic).stream())
                .map(found -> new TopicPartition(found.topic(), found.partition())).toList();
            var begins = consumer.beginningOffsets(partitions);
            var ends = consumer.endOffsets(partitions);
            partitions.forEach(at ->
                System.out.printf("bounds %s %d %d %d%n", at.topic(), at.partition(), begins.get(at), ends.get(at)));
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            while (partitions.stream().anyMatch(at -> consumer.position(at) < ends.get(at))) {
                for (var record : consumer.poll(Duration.ofSeconds(1))) {
                    var at = new TopicPartition(record.topic(), record.partition());
                    if (record.offset() < ends.get(at)) System.out.println(shown(record));
                }
            }
        }
    }

    static String shown(ConsumerRecord<byte[], byte[]> record) {
        var words = new ArrayList<String>(List.of("record", record.topic()));
        for (long number : new long[] {record.partition(), record.offset(), record.timestamp()}) words.add(Long.toString(number));
        words.add(shown(record.key()));
        words.add(shown(record.value()));
        for (Header header : record.headers()) {
            words.add(shown(header.key().getBytes(StandardCharsets.UTF_8)) + "=" + shown(header.value()));
        }
        return String.join(" ", words);
    }

    static String shown(byte[] bytes) {
        return bytes == null ? "-" : "x" + HexFormat.of().formatHex(bytes);
    }
}
