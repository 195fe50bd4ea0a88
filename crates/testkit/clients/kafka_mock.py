"""A mock cluster of Kafka's, the one of librdkafka, in this process, and what it holds by librdkafka's own consumer.

Writes the bootstrap address first. Then takes one JSON line after another and answers each with one: `{"make": topic}` makes a
topic, of as many partitions as the mock likes, and says which; `{"read": topic}` gives its records so far: `partition`, `offset`, `key`, `headers`, `value`, `timestamp`;
`{"partition": key, "of": topic}` says where librdkafka's own producer puts a key by Java's partitioner.
"""
import json
import sys
import uuid

from confluent_kafka import Consumer, Producer, TopicPartition

PATIENCE = 30

holder = Producer({"test.mock.num.brokers": 3, "bootstrap.servers": "ignored", "log_level": 0})
brokers = holder.list_topics(timeout=PATIENCE).brokers.values()
bootstrap = ",".join(f"{broker.host}:{broker.port}" for broker in brokers)
print(bootstrap, flush=True)


def partitions(topic: str) -> list[int]:
    return sorted(holder.list_topics(topic, timeout=PATIENCE).topics[topic].partitions)


def read(topic: str) -> list[dict]:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": uuid.uuid4().hex, "check.crcs": True, "enable.auto.commit": False})
    found, ends = [], {}
    for number in partitions(topic):
        low, high = consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=PATIENCE)
        if high > low:
            ends[number] = high
    consumer.assign([TopicPartition(topic, number, 0) for number in ends])
    while ends:
        message = consumer.poll(PATIENCE)
        if message is None or message.error():
            raise SystemExit(f"{message and message.error()} while {ends} is waited for")
        headers = {name: value.decode() for name, value in message.headers() or []}
        found.append({"partition": message.partition(), "offset": message.offset(), "key": (message.key() or b"").decode(),
                      "headers": headers, "value": message.value().decode(), "timestamp": message.timestamp()[1]})
        if ends.get(message.partition(), 0) <= message.offset() + 1:
            ends.pop(message.partition(), None)
    consumer.close()
    return found


def place(key: str, topic: str) -> int:
    placed = []
    producer = Producer({"bootstrap.servers": bootstrap, "partitioner": "murmur2_random"})
    producer.produce(topic, key=key, value=b"{}", on_delivery=lambda error, message: placed.append(message.partition()))
    producer.flush(PATIENCE)
    return placed[0]


for line in sys.stdin:
    asked = json.loads(line)
    if "make" in asked:
        answer = partitions(asked["make"])
    elif "read" in asked:
        answer = read(asked["read"])
    else:
        answer = place(asked["partition"], asked["of"])
    print(json.dumps(answer), flush=True)
