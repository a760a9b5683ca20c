import java.util.Map;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringSerializer;

/** Sends a record to each of the partitions and prints its offset, one a line: ADDRESS (TOPIC PARTITION)... */
public class Send {
    public static void main(String[] args) throws Exception {
        var config = Map.<String, Object>of("bootstrap.servers", args[0], "enable.idempotence", true, "max.block.ms", 120_000);
        try (var producer = new KafkaProducer<>(config, new StringSerializer(), new StringSerializer())) {
            for (int at = 1; at < args.length; at += 2) {
                var record = new ProducerRecord<>(args[at], Integer.valueOf(args[at + 1]), "sent", "afterwards");
                System.out.println(producer.send(record).get().offset());
            }
        }
    }
}
