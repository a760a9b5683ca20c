import java.util.*;
import java.util.concurrent.Future;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Fills a broker with topics of every kind, commits offsets in all ways that there are, and ends while transactions are open: ADDRESS
 *
 * What a transaction sends says in its first word how that ends: committed, aborted or open.
 */
public class Workload {
    static final int PADDING = 5000;
    static String address;
    /** What is under way: each is to be acknowledged. */
    static final List<Future<RecordMetadata>> sent = new ArrayList<>();
    static Admin admin;

    public static void main(String[] args) throws Exception {
        address = args[0];
        admin = Admin.create(Map.of("bootstrap.servers", address));
        for (String codec : List.of("none", "gzip", "snappy", "lz4", "zstd")) plain("codec-" + codec, codec);
        create("append-time", 1, Map.of("message.timestamp.type", "LogAppendTime"));
        fill("append-time", 1, "lz4");
        compacted();
        deleted();
        offsets();
        transactions();
        settle();
        // No close, which would abort what is open.
        Runtime.getRuntime().halt(0);
    }

    static void create(String topic, int partitions, Map<String, String> config) throws Exception {
        admin.createTopics(List.of(new NewTopic(topic, partitions, (short) 1).configs(config))).all().get();
    }

    static KafkaProducer<String, String> producer(String codec, String transactionalId) {
        // One request at a time: a topic that was just made may turn the first batch down and take the second one, and then there is no
        // place any more for the first, however often it is sent again.
        var config = new HashMap<String, Object>(Map.of("bootstrap.servers", address, "compression.type", codec, "linger.ms", 2,
            "max.in.flight.requests.per.connection", 1));
        if (transactionalId != null) {
            // Nobody is to abort it before the broker ends.
            config.putAll(Map.of("transactional.id", transactionalId, "transaction.timeout.ms", 900_000));
        }
        return new KafkaProducer<>(config, new StringSerializer(), new StringSerializer());
    }

    /** Waits until all is acknowledged. */
    static void settle() throws Exception {
        for (var one : sent) one.get();
        sent.clear();
    }

    static void plain(String topic, String codec) throws Exception {
        create(topic, 2, Map.of());
        fill(topic, 2, codec);
    }

    /** Records of all shapes, with timestamps that go back and forth. */
    static void fill(String topic, int partitions, String codec) throws Exception {
        try (var producer = producer(codec, null)) {
            for (int number = 0; number < 400; number++) {
                String key = number % 5 == 0 ? null : number % 17 == 3 ? "" : "key-" + number % 11;
                String value = number % 7 == 0 ? null : number % 13 == 1 ? "" : number + " " + "ab".repeat(200);
                long timestamp = 1_700_000_000_000L + number * 7919L % 100_000 - 50_000;
                var record = new ProducerRecord<>(topic, number % partitions, timestamp, key, value);
                if (number % 3 == 1) record.headers().add("one", new byte[] {0, -1, 10}).add("one", new byte[0]);
                if (number % 3 == 2) record.headers().add(new RecordHeader("nothing", (byte[]) null)).add("", new byte[] {1});
                sent.add(producer.send(record));
            }
            settle();
        }
    }

    /** More than two segments of it, of which the cleaner keeps little. */
    static void compacted() throws Exception {
        create("compacted", 1, Map.of("cleanup.policy", "compact", "min.cleanable.dirty.ratio", "0.01", "segment.bytes", "1048576"));
        try (var producer = producer("none", null)) {
            for (int number = 0; number < 2400; number++) {
                String value = number % 13 == 12 ? null : number + " " + "x".repeat(1000);
                sent.add(producer.send(new ProducerRecord<>("compacted", "key-" + number % 19, value)));
            }
            settle();
        }
    }

    /** One partition begins within its only segment, and one at its end. */
    static void deleted() throws Exception {
        plain("deleted", "snappy");
        admin.deleteRecords(Map.of(
            new TopicPartition("deleted", 0), RecordsToDelete.beforeOffset(77),
            new TopicPartition("deleted", 1), RecordsToDelete.beforeOffset(-1))).all().get();
    }

    /** Of members by both protocols, by the administrator, and what was deleted again. */
    static void offsets() throws Exception {
        var none = new TopicPartition("codec-none", 1);
        for (String protocol : List.of("classic", "consumer")) {
            var config = Map.<String, Object>of("bootstrap.servers", address, "group.id", "by " + protocol, "group.protocol", protocol,
                "enable.auto.commit", false, "auto.offset.reset", "earliest");
            try (var consumer = new KafkaConsumer<>(config, new StringDeserializer(), new StringDeserializer())) {
                consumer.subscribe(List.of("codec-none", "codec-gzip"));
                int read = 0;
                while (read < 800) read += consumer.poll(java.time.Duration.ofSeconds(1)).count();
                consumer.commitSync(Map.of(none, new OffsetAndMetadata(5, Optional.of(0), "not so far")));
                consumer.commitSync();
                consumer.commitSync(Map.of(none, new OffsetAndMetadata(11, Optional.of(0), "as far as " + protocol)));
            }
        }
        for (String group : List.of("by hand", "deleted")) {
            admin.alterConsumerGroupOffsets(group, Map.of(none, new OffsetAndMetadata(17), new TopicPartition("deleted", 0),
                new OffsetAndMetadata(99, "by hand"))).all().get();
        }
        admin.deleteConsumerGroups(List.of("deleted")).all().get();
        admin.deleteConsumerGroupOffsets("by hand", Set.of(new TopicPartition("deleted", 0))).all().get();
    }

    /** Of several producers at once, over several segments; the last ones stay open, with committed ones behind. */
    static void transactions() throws Exception {
        create("transactions", 2, Map.of("segment.bytes", "1048576"));
        var commits = producer("zstd", "commits");
        var aborts = producer("none", "aborts");
        var open = producer("none", "stays-open");
        for (var producer : List.of(commits, aborts, open)) producer.initTransactions();
        for (int number = 0; number < 60; number++) {
            String end = number % 3 == 0 ? "aborted" : "committed";
            commits.beginTransaction();
            aborts.beginTransaction();
            if (number == 50) {
                open.beginTransaction();
                send(open, "open", number);
            }
            for (int part = 0; part < 6; part++) {
                send(commits, "committed", part);
                send(aborts, end, part);
            }
            var read = Map.of(new TopicPartition("transactions", 0), new OffsetAndMetadata(number, end));
            aborts.sendOffsetsToTransaction(read, group("in transactions"));
            if (end.equals("aborted")) aborts.abortTransaction(); else aborts.commitTransaction();
            commits.commitTransaction();
        }
        var read = Map.of(new TopicPartition("transactions", 0), new OffsetAndMetadata(1234, "open"));
        open.sendOffsetsToTransaction(read, group("in an open one"));
        send(open, "open", 61);
        open.flush();
    }

    static ConsumerGroupMetadata group(String name) {
        var config = Map.<String, Object>of("bootstrap.servers", address, "group.id", name);
        try (var consumer = new KafkaConsumer<>(config, new StringDeserializer(), new StringDeserializer())) {
            return consumer.groupMetadata();
        }
    }

    static void send(KafkaProducer<String, String> producer, String end, int number) {
        // Incompressible, so that there are segments.
        var random = new Random(number);
        var text = new StringBuilder(end).append(' ');
        while (text.length() < PADDING) text.append((char) ('0' + random.nextInt(70)));
        sent.add(producer.send(new ProducerRecord<>("transactions", number % 2, null, text.toString())));
    }
}
