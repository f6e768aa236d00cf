import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.nio.ByteBuffer;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.processor.api.FixedKeyProcessor;
import org.apache.kafka.streams.processor.api.FixedKeyProcessorContext;
import org.apache.kafka.streams.processor.api.FixedKeyRecord;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

/** The relay job in Kafka Streams, exactly once, with a persistent store. Arguments: broker, id, input, output, folder. */
public final class Relay {
  private static final ObjectMapper JSON = new ObjectMapper();

  private static final class Mean implements FixedKeyProcessor<String, byte[], byte[]> {
    private FixedKeyProcessorContext<String, byte[]> context;
    private KeyValueStore<String, byte[]> store;

    @Override
    public void init(FixedKeyProcessorContext<String, byte[]> context) {
      this.context = context;
      this.store = context.getStateStore("means");
    }

    @Override
    public void process(FixedKeyRecord<String, byte[]> record) {
      try {
        JsonNode event = JSON.readTree(record.value());
        byte[] row = store.get(record.key());
        long count = 1;
        double total = event.get("heart_rate_bpm").asDouble();
        if (row != null) {
          ByteBuffer known = ByteBuffer.wrap(row);
          count += known.getLong();
          total += known.getDouble();
        }
        store.put(record.key(), ByteBuffer.allocate(16).putLong(count).putDouble(total).array());
        var answer = JSON.createObjectNode().put("patient_id", record.key()).put("count", count).put("mean", total / count);
        context.forward(record.withValue(JSON.writeValueAsBytes(answer)));
      } catch (java.io.IOException error) {
        throw new java.io.UncheckedIOException(error);
      }
    }
  }

  public static void main(String[] args) {
    Properties settings = new Properties();
    settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, args[0]);
    settings.put(StreamsConfig.APPLICATION_ID_CONFIG, args[1]);
    settings.put(StreamsConfig.STATE_DIR_CONFIG, args[4]);
    settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
    settings.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
    settings.put(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "earliest");
    StreamsBuilder builder = new StreamsBuilder();
    builder.addStateStore(
        Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore("means"), Serdes.String(), Serdes.ByteArray())
            .withCachingEnabled());
    builder.stream(args[2], Consumed.with(Serdes.String(), Serdes.ByteArray()))
        .processValues(Mean::new, "means")
        .to(args[3], Produced.with(Serdes.String(), Serdes.ByteArray()));
    KafkaStreams streams = new KafkaStreams(builder.build(), settings);
    Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(java.time.Duration.ofSeconds(5))));
    streams.start();
  }
}
