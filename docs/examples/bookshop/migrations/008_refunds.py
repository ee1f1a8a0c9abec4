from async_migrations import BaseMigration


class Migration(BaseMigration):
    """Note when an order was refunded"""

    async def upgrade(self) -> dict[str, int]:
        await self.execute("ALTER TABLE orders ADD COLUMN refunded_at TIMESTAMP WITH TIME ZONE")
        await self.execute(
            "ALTER TABLE orders ADD CONSTRAINT ck_orders_refund_has_its_time"
            " CHECK ((status = 'refunded') = (refunded_at IS NOT NULL))"
        )
        created = await self.op.create_index(
            "ix_orders_refunded", "orders", ["refunded_at"], where="status = 'refunded'"
        )
        return {"columns_added": 1, "indexes_created": created}

    async def downgrade(self) -> None:
        # Its check and its index go with the column.
        await self.execute("ALTER TABLE orders DROP COLUMN refunded_at")
        refunded = await self.execute("UPDATE orders SET status = 'cancelled' WHERE status = 'refunded'")
        if refunded.rowcount:
            self.log_warning(f"{refunded.rowcount} refunded order(s) are now cancelled ones")
