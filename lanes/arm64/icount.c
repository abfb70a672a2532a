/* Counts the instructions a guest executes: a plugin for qemu-user's TCG, API version 1 (qemu 4.2 to 8).
 *
 * The guest marks the beginning of what is to be counted by close(0x7eadbe00), and an end by
 * close(0x7eadbeNN), NN from 1 to 255: calls that fail and do nothing else.  Each end writes a line
 * "NN INSTRUCTIONS", of all threads since the beginning, to the file of the option out=FILE.
 *
 * Debian has no header of the API: what is used of it is declared here, from qemu's qemu-plugin.h.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

typedef uint64_t qemu_plugin_id_t;
typedef struct qemu_info_t qemu_info_t;
struct qemu_plugin_tb;
enum { NO_REGISTERS = 0, CLOSE = 57 /* on Arm64 */, VCPUS = 1024 };

typedef void (*tb_trans_cb)(qemu_plugin_id_t, struct qemu_plugin_tb *);
typedef void (*vcpu_udata_cb)(unsigned, void *);
typedef void (*syscall_cb)(qemu_plugin_id_t, unsigned, int64_t, uint64_t, uint64_t, uint64_t, uint64_t,
                           uint64_t, uint64_t, uint64_t, uint64_t);
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, tb_trans_cb);
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *, vcpu_udata_cb, int flags, void *);
void qemu_plugin_register_vcpu_syscall_cb(qemu_plugin_id_t, syscall_cb);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);

int qemu_plugin_version = 1;

static uint64_t executed[VCPUS]; /* one each: threads must not lose each other's counts */
static uint64_t beginning;
static FILE *out;

static void on_execution(unsigned vcpu, void *instructions) {
  executed[vcpu % VCPUS] += (uintptr_t)instructions;
}

static void on_translation(qemu_plugin_id_t id, struct qemu_plugin_tb *block) {
  (void)id;
  qemu_plugin_register_vcpu_tb_exec_cb(block, on_execution, NO_REGISTERS,
                                       (void *)(uintptr_t)qemu_plugin_tb_n_insns(block));
}

static void on_syscall(qemu_plugin_id_t id, unsigned vcpu, int64_t number, uint64_t a1, uint64_t a2,
                       uint64_t a3, uint64_t a4, uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8) {
  (void)id, (void)vcpu, (void)a2, (void)a3, (void)a4, (void)a5, (void)a6, (void)a7, (void)a8;
  if (number != CLOSE || a1 >> 8 != 0x7eadbe) return;
  uint64_t total = 0;
  for (int i = 0; i < VCPUS; i++) total += executed[i];
  if ((a1 & 255) == 0) {
    beginning = total;
  } else {
    fprintf(out, "%u %" PRIu64 "\n", (unsigned)(a1 & 255), total - beginning);
    fflush(out);
  }
}

int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv) {
  (void)info;
  out = stderr;
  for (int i = 0; i < argc; i++)
    if (!strncmp(argv[i], "out=", 4)) out = fopen(argv[i] + 4, "w");
  if (!out) return 1;
  qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
  qemu_plugin_register_vcpu_syscall_cb(id, on_syscall);
  return 0;
}
