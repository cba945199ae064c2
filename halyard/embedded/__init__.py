"""Apache Kafka and PostgreSQL as our own children, for one machine and for tests.

`kafka.EmbeddedKafka` and `postgres.EmbeddedPostgres` start the real programs on free loopback
ports, keep their data in a directory of the user's and end with the process that started them.
"""
