#include "oracle.h"
struct oracle *oracle_new(struct world *w)
{
	(void)w;
	return NULL;
}
void oracle_free(struct oracle *o)
{
	(void)o;
}
void oracle_conn_new(struct oracle *o, struct conn *c)
{
	(void)o;
	(void)c;
}
void oracle_before_events(struct oracle *o)
{
	(void)o;
}
void oracle_after_events(struct oracle *o)
{
	(void)o;
}
void oracle_before_round(struct oracle *o)
{
	(void)o;
}
void oracle_after_round(struct oracle *o)
{
	(void)o;
}
void oracle_compare(struct oracle *o)
{
	(void)o;
}
