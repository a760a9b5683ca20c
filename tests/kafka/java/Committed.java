import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Map;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ListConsumerGroupOffsetsSpec;

/** Prints what groups have committed, as "committed TOPIC PARTITION OFFSET GROUP METADATA", the last two in hexadecimal: ADDRESS GROUP... */
public class Committed {
    public static void main(String[] args) throws Exception {
        var groups = Arrays.stream(args).skip(1)
            .collect(Collectors.toMap(group -> group, group -> new ListConsumerGroupOffsetsSpec()));
        try (var admin = Admin.create(Map.of("bootstrap.servers", args[0], "default.api.timeout.ms", 120_000))) {
            for (var group : admin.listConsumerGroupOffsets(groups).all().get().entrySet()) {
                group.getValue().forEach((at, committed) -> System.out.printf("committed %s %d %d %s %s%n", at.topic(),
                    at.partition(), committed.offset(), shown(group.getKey()), shown(committed.metadata())));
            }
        }
    }

    static String shown(String text) {
        return Read.shown(text.getBytes(StandardCharsets.UTF_8));
    }
}
