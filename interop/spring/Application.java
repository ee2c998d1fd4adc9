import com.rabbitmq.client.ConnectionFactory;
import org.springframework.amqp.core.AcknowledgeMode;
import org.springframework.amqp.rabbit.annotation.EnableRabbit;
import org.springframework.amqp.rabbit.config.SimpleRabbitListenerContainerFactory;
import org.springframework.amqp.rabbit.connection.CachingConnectionFactory;
import org.springframework.amqp.rabbit.core.RabbitAdmin;
import org.springframework.amqp.rabbit.core.RabbitTemplate;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;

/** The beans that Spring Boot would make of `spring.rabbitmq.*`. */
@Configuration(proxyBeanMethods = false)
@EnableRabbit
public class Application {
  /** The broker's URI, set before a context is made. */
  static String uri;

  /** A connection factory with confirms and returns. */
  @Bean
  public CachingConnectionFactory connectionFactory() throws Exception {
    ConnectionFactory client = new ConnectionFactory();
    client.setUri(uri);
    client.setAutomaticRecoveryEnabled(false);
    CachingConnectionFactory factory = new CachingConnectionFactory(client);
    factory.setPublisherConfirmType(CachingConnectionFactory.ConfirmType.CORRELATED);
    factory.setPublisherReturns(true);
    return factory;
  }

  @Bean
  public RabbitAdmin rabbitAdmin(CachingConnectionFactory connectionFactory) {
    return new RabbitAdmin(connectionFactory);
  }

  @Bean
  public RabbitTemplate rabbitTemplate(CachingConnectionFactory connectionFactory) {
    RabbitTemplate template = new RabbitTemplate(connectionFactory);
    template.setMandatory(true);
    template.setReplyTimeout(Client.DEADLINE * 1000L);
    return template;
  }

  /** What makes the containers of methods that are listeners. */
  @Bean
  public SimpleRabbitListenerContainerFactory rabbitListenerContainerFactory(
      CachingConnectionFactory connectionFactory) {
    SimpleRabbitListenerContainerFactory factory = new SimpleRabbitListenerContainerFactory();
    factory.setConnectionFactory(connectionFactory);
    factory.setAcknowledgeMode(AcknowledgeMode.AUTO);
    factory.setPrefetchCount(1);
    factory.setReceiveTimeout(100L);
    factory.setRecoveryInterval(100L);
    return factory;
  }
}
