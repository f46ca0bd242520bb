/* SPDX-License-Identifier: MIT */
/*
 * Between the files of the XML reader and printer: documents are described by tables, and one
 * reader goes through them. What a table does not have is refused.
 */
#ifndef DROVER_HOSTD_XML_OWN_H
#define DROVER_HOSTD_XML_OWN_H

#include <libxml/tree.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "hostd/xml.h"

#define XML_ATTRS_MAX 256u     /* attributes of one element */
#define XML_CHILDREN_MAX 1024u /* elements in one that a table describes */

static inline void xml_stringp(char **p)
{
	free(*p);
}

/* A document that is being read. The functions below return 0, EINVAL (err has it), or -ENOMEM. */
struct xml_in {
	struct guest_def *def; /* borrowed */
	struct xml_error *err; /* borrowed */
	xml_random_fn *random;
	void *random_data;
	bool has_uuid, has_os_type;
	bool keeps_all; /* an element is kept as it is: <metadata> */
	bool has_mac;	/* of the interface that is being read */
};

enum xml_kind {
	XML_TEXT,    /* to a char * */
	XML_PATH,    /* the same, and begins with a slash */
	XML_UINT,    /* unsigned int */
	XML_INT,     /* int */
	XML_YES,     /* "yes" or "no" to a bool */
	XML_ON,	     /* "on" or "off" to a bool */
	XML_PRESENT, /* an element that is there: a bool */
	XML_WORD,    /* the index of one of `words`, to an enumeration */
	XML_ONLY,    /* one of `words`, and then nothing: it says what is so anyway */
	XML_PASSED,  /* of a domain that runs: passed over */
	XML_NOTHING, /* of an element: no text in it */
	XML_KEPT,    /* of an attribute: printed again, to a char * */
};

/* An attribute's value, or the text in an element. */
struct xml_value {
	const char *name; /* of the attribute */
	enum xml_kind kind;
	size_t at;		  /* in the object */
	const char *const *words; /* of XML_WORD, XML_ONLY, XML_TEXT; NULL: any. To a NULL */
	unsigned int max;	  /* of a number; 0: none but the type's */
};

struct xml_element {
	const char *name;
	const struct xml_value *attrs; /* to one without a name; NULL: none */
	const struct xml_element *children;
	const struct xml_element *(*all_of)(void); /* the rest is there: another file's */
	struct xml_value text;
	bool many;   /* may come more than once */
	bool passed; /* with all that is in it */
	bool kept;   /* the whole of it appended to the char * at kept_at, once it was read */
	bool any;    /* of a kept one: whatever attributes and children it has */
	size_t kept_at;
	/* The object that it, and what is in it, is about; NULL: its parent's. */
	int (*open)(struct xml_in *in, const xmlNode *node, void *parent, void **ret);
	/* Once all of it was read. */
	int (*close)(struct xml_in *in, const xmlNode *node, void *object);
};

/* xml_text.c: refuses what would take the parser long. */
int xml_check_text(struct xml_in *in, const char *text, size_t len);

/* xml_read.c */
int xml_read_element(struct xml_in *in, const struct xml_element *desc, const xmlNode *node,
		     void *parent);
/* Writes err and returns EINVAL; the text is made one line of UTF-8. */
int xml_refuse(struct xml_in *in, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* An attribute's value (to be freed) or NULL: it has none, or memory is out. */
char *xml_attr_copy(const xmlNode *node, const char *name);
/* Sets *field, freeing what it had; text is copied. */
int xml_set(char **field, const char *text);
/* Decimal, blanks around it allowed. */
bool xml_number(const char *text, uint64_t max, uint64_t *ret);
/* How a node is named in an error: its line. */
unsigned int xml_line(const xmlNode *node);

/* xml_keep.c: appends the element as canonical text without indentation. */
int xml_keep(struct xml_in *in, const xmlNode *node, char **field);
/* Appends " name='value'". */
int xml_keep_attr(char **field, const char *name, const char *value);

/* What each element consists of, in files of these names. */
const struct xml_element *xml_domain(void);
const struct xml_element *xml_devices(void); /* xml_device.c */
const struct xml_element *xml_disk(void);
const struct xml_element *xml_nic(void);
const struct xml_element *xml_serial(void); /* xml_chardev.c */
const struct xml_element *xml_console(void);
const struct xml_element *xml_channel(void);
const struct xml_element *xml_graphics(void);

#define XML_NO_TEXT                                                                                \
	{                                                                                          \
		.kind = XML_NOTHING                                                                \
	}
/* <address> is kept, <alias> is chosen anew whenever a guest starts. */
#define XML_PLACE(at)                                                                              \
	{ .name = "address", .text = XML_NO_TEXT, .kept = true, .any = true, .kept_at = (at) },    \
	{                                                                                          \
		.name = "alias", .text = XML_NO_TEXT, .passed = true                               \
	}

/* xml_device.c: one more entry of size octets, all zero, behind the n of an array of them. */
int xml_grow(struct xml_in *in, const xmlNode *node, void **array, size_t *n, size_t size,
	     void **ret);
/* 1 to max letters, digits, and _.- */
bool xml_is_word(const char *s, size_t max);

/* What libvirt fills in once all is read, and what has to agree. */
int xml_finish_domain(struct xml_in *in);
int xml_finish_devices(struct xml_in *in);
int xml_finish_chardevs(struct xml_in *in);

/* xml_names.c: names in the order of their enumerations, to a NULL. */
const char *const *xml_types(void);
const char *const *xml_os_types(void);
const char *const *xml_actions(void);
/* The i-th feature in the order of printing; NULL: there are no more. */
const char *xml_feature(size_t i, unsigned int *ret_bit);

/* xml_put.c: printing. Failures stay in the stream. */
/* With the five entities, and line ends and tabs of an attribute as numbers. */
void xml_put_escaped(FILE *f, const char *text, bool in_attr);
/* " name='value'"; nothing where value is NULL. */
void xml_put_attr(FILE *f, const char *name, const char *value);
/* "<name>text</name>" on a line of its own; nothing where text is NULL. */
void xml_put_leaf(FILE *f, unsigned int indent, const char *name, const char *text);
/* Kept text, each line indented; nothing where it is NULL. */
void xml_put_kept(FILE *f, unsigned int indent, const char *kept);

/* xml_print_device.c */
void xml_print_devices(FILE *f, const struct guest_def *def, bool live);

#endif
