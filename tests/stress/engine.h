/* The engine whole, under the names that its own sources use.
 *
 * `_pool.c` is what Cython makes of poolcore/_pool.pyx and the parts that it includes. Its functions are static, so a program that
 * wants to call them, or to look into the structs, includes the file. No Python runs in such a
 * program: the engine needs none, and the linker is told to leave Python's names open. */
#ifndef ENGINE_H
#define ENGINE_H

#define POOLCORE_ENGINE 1
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#undef __SEG_FS         /* the instrumentation takes such an access for an ordinary address */
#endif
#include "_pool.c"

#define slab_t struct __pyx_t_8poolcore_6_types_slab_t
#define heap_t struct __pyx_t_8poolcore_6_types_heap_t
#define pool_t struct __pyx_t_8poolcore_6_types_pool_t
#define hold_t struct __pyx_t_8poolcore_6_types_hold_t
#define block_t struct __pyx_t_8poolcore_6_types_block_t
#define pool_config_t struct __pyx_t_8poolcore_6_types_pool_config_t
#define pool_stats_t struct __pyx_t_8poolcore_6_types_pool_stats_t

#define ENUM(name) __pyx_e_8poolcore_6_types_##name
#define ENGINE(name) __pyx_f_8poolcore_5_pool_##name
#define ENGINE_VARIABLE(name) __pyx_v_8poolcore_5_pool_##name

/* What importing the module does. */
__attribute__((constructor)) static void start_engine(void) { ENGINE(engine_start)(); }

#endif
