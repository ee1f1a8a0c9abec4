"""Migration 017: Returns: built beside running writes."""

from async_migrations import BaseMigration


class Migration(BaseMigration):
    """Returns: built beside running writes."""

    transactional = False

    async def upgrade(self) -> None:
        await self.op.create_index(
            "ix_orders_refunded_new", "orders", ["refunded_at"], where="status IN ('refunded', 'returned')"
        )
        await self.op.drop_index("ix_orders_refunded", "orders")
        await self.op.rename_index("ix_orders_refunded_new", "ix_orders_refunded")

    async def downgrade(self) -> None:
        await self.op.create_index(
            "ix_orders_refunded_new", "orders", ["refunded_at"], where="(status = 'refunded'::public.order_status)"
        )
        await self.op.drop_index("ix_orders_refunded", "orders")
        await self.op.rename_index("ix_orders_refunded_new", "ix_orders_refunded")
