"""A program whose writers commit one small transaction after another.

Its arguments are a bootstrap server, a topic, its number of partitions, and how many writers there shall be. It says
`going` once each of them has committed, and ends only when it is killed."""

import asyncio
import sys

from aiokafka import AIOKafkaProducer


async def commit(producer: AIOKafkaProducer, topic: str, partitions: int) -> None:
    async with producer.transaction():
        for number in range(partitions):
            await producer.send(topic, b"one", partition=number)


async def go_on(producer: AIOKafkaProducer, topic: str, partitions: int) -> None:
    while True:
        await commit(producer, topic, partitions)


async def main(bootstrap: str, topic: str, partitions: int, writers: int) -> None:
    producers = [
        AIOKafkaProducer(bootstrap_servers=bootstrap, transactional_id=f"writer-{number}") for number in range(writers)
    ]
    for producer in producers:
        await producer.start()
    await asyncio.gather(*(commit(producer, topic, partitions) for producer in producers))
    print("going", flush=True)  # noqa: T201  # the test waits for it
    await asyncio.gather(*(go_on(producer, topic, partitions) for producer in producers))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
