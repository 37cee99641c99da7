/* Answers the classify bench with DPDK's rte_acl: AVX2, batches of 32.
 *
 * rte_acl_driver EAL-ARGUMENTS -- BOXES TRACE...
 *
 * BOXES: records of 32 bytes, first match first. TRACE: records of 16 bytes. Little endian, addresses and ports as
 * numbers. After building it prints "built MS KIB", then answers each line "N" on standard input, the number of a
 * trace, by one pass over it: "NS SUM", nanoseconds a packet and the sum of the results. */
#include <arpa/inet.h>
#include <inttypes.h>
#include <rte_acl.h>
#include <rte_eal.h>
#include <rte_malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { BATCH = 32, TRACES = 8 };

struct box {
	uint32_t source, source_length, destination, destination_length;
	uint16_t source_port[2], destination_port[2];
	uint32_t protocol; /* 256: any */
	uint32_t result;
};

struct packet {
	uint32_t source, destination;
	uint16_t source_port, destination_port;
	uint8_t protocol, pad[3];
};

struct key {
	uint8_t protocol, pad[3];
	uint32_t source, destination;
	uint16_t source_port, destination_port;
};

RTE_ACL_RULE_DEF(acl_rule, 5);

static const struct rte_acl_field_def fields[5] = {
	{ RTE_ACL_FIELD_TYPE_BITMASK, 1, 0, 0, 0 },
	{ RTE_ACL_FIELD_TYPE_MASK, 4, 1, 1, 4 },
	{ RTE_ACL_FIELD_TYPE_MASK, 4, 2, 2, 8 },
	{ RTE_ACL_FIELD_TYPE_RANGE, 2, 3, 3, 12 },
	{ RTE_ACL_FIELD_TYPE_RANGE, 2, 4, 3, 14 },
};

static double now_ns(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1e9 + time.tv_nsec;
}

static void die(const char *what)
{
	fprintf(stderr, "rte_acl driver: %s\n", what);
	exit(1);
}

static void *read_all(const char *path, size_t record, size_t *count)
{
	FILE *file = fopen(path, "rb");
	if (!file)
		die(path);
	fseek(file, 0, SEEK_END);
	*count = (size_t)ftell(file) / record;
	rewind(file);
	void *records = malloc(*count * record + 1);
	if (!records || fread(records, record, *count, file) != *count)
		die(path);
	fclose(file);
	return records;
}

static size_t heap_bytes(void)
{
	struct rte_malloc_socket_stats stats;
	return rte_malloc_get_socket_stats(0, &stats) ? 0 : stats.heap_allocsz_bytes;
}

static struct rte_acl_ctx *build(const char *path)
{
	size_t count;
	struct box *boxes = read_all(path, sizeof *boxes, &count);
	struct acl_rule *rules = calloc(count, sizeof *rules);
	for (size_t i = 0; i < count; i++) {
		const struct box *box = &boxes[i];
		struct acl_rule *rule = &rules[i];
		rule->data.category_mask = 1;
		rule->data.priority = RTE_ACL_MAX_PRIORITY - (int)i;
		rule->data.userdata = box->result;
		rule->field[0].value.u8 = box->protocol & 255;
		rule->field[0].mask_range.u8 = box->protocol == 256 ? 0 : 255;
		rule->field[1].value.u32 = box->source;
		rule->field[1].mask_range.u32 = box->source_length;
		rule->field[2].value.u32 = box->destination;
		rule->field[2].mask_range.u32 = box->destination_length;
		rule->field[3].value.u16 = box->source_port[0];
		rule->field[3].mask_range.u16 = box->source_port[1];
		rule->field[4].value.u16 = box->destination_port[0];
		rule->field[4].mask_range.u16 = box->destination_port[1];
	}
	struct rte_acl_param parameters = { "bench", SOCKET_ID_ANY, RTE_ACL_RULE_SZ(5), count };
	struct rte_acl_ctx *context = rte_acl_create(&parameters);
	struct rte_acl_config config = { .num_categories = 1, .num_fields = 5 };
	memcpy(config.defs, fields, sizeof fields);
	double start = now_ns();
	if (!context || rte_acl_add_rules(context, (struct rte_acl_rule *)rules, count))
		die("rules refused");
	size_t with_rules = heap_bytes();
	if (rte_acl_build(context, &config))
		die("build failed");
	printf("built %.3f %.0f\n", (now_ns() - start) / 1e6,
		(double)(heap_bytes() - with_rules) / 1024);
	fflush(stdout);
	free(rules);
	free(boxes);
	return context;
}

struct trace {
	size_t count;
	struct key *keys;
	const uint8_t **pointers;
	uint32_t *results;
};

static struct trace load(const char *path)
{
	struct trace trace;
	struct packet *packets = read_all(path, sizeof *packets, &trace.count);
	trace.keys = malloc(trace.count * sizeof *trace.keys);
	trace.pointers = malloc(trace.count * sizeof *trace.pointers);
	trace.results = calloc(trace.count, sizeof *trace.results);
	if (!trace.keys || !trace.pointers || !trace.results)
		die("out of memory");
	for (size_t i = 0; i < trace.count; i++) {
		const struct packet *packet = &packets[i];
		trace.keys[i] = (struct key){
			.protocol = packet->protocol,
			.source = htonl(packet->source),
			.destination = htonl(packet->destination),
			.source_port = htons(packet->source_port),
			.destination_port = htons(packet->destination_port),
		};
		trace.pointers[i] = (const uint8_t *)&trace.keys[i];
	}
	free(packets);
	return trace;
}

static void pass(struct rte_acl_ctx *context, struct trace *trace)
{
	double start = now_ns();
	for (size_t i = 0; i < trace->count; i += BATCH) {
		size_t left = trace->count - i, batch = left < BATCH ? left : BATCH;
		if (rte_acl_classify_alg(context, trace->pointers + i, trace->results + i, batch, 1,
				RTE_ACL_CLASSIFY_AVX2))
			die("AVX2 is not available");
	}
	double elapsed = now_ns() - start;
	uint64_t sum = 0;
	for (size_t i = 0; i < trace->count; i++)
		sum += trace->results[i];
	printf("%.4f %" PRIu64 "\n", elapsed / (double)trace->count, sum);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	int used = rte_eal_init(argc, argv);
	if (used < 0)
		die("EAL");
	argc -= used;
	argv += used;
	if (argc < 3 || argc > 2 + TRACES)
		die("usage: EAL-ARGUMENTS -- BOXES TRACE...");
	struct rte_acl_ctx *context = build(argv[1]);
	struct trace traces[TRACES];
	for (int i = 2; i < argc; i++)
		traces[i - 2] = load(argv[i]);
	char line[32];
	while (fgets(line, sizeof line, stdin)) {
		int number;
		if (sscanf(line, "%d", &number) != 1 || number < 0 || number >= argc - 2)
			die("no such trace");
		pass(context, &traces[number]);
	}
	return 0;
}
